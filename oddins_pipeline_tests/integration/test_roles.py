"""Who may do what in the database: the role that syncs, and the one that only reads."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from oddins_pipeline.cli.db import READABLE
from oddins_pipeline_tests.support.service import Service, at_database

REFUSED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
"""The latter is a view's that nobody can write."""


def as_role(url: str, role: str) -> str:
    return url.replace("postgres@", f"{quote(role)}@", 1)


def execute(url: str, statement: str, *names: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def test_a_role_that_owns_its_database_and_nothing_else_can_do_all(service: Service) -> None:
    name = f"owner_{service.query('SELECT current_database()')[0][0]}"
    execute(service.database, "CREATE ROLE {} LOGIN", name)
    execute(
        service.database,
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'",
        *(name, name),
    )
    owned = Service(
        service.run, at_database(as_role(service.database, name), name), service.provider
    )
    assert owned.run("db", "upgrade", DATABASE_URL=owned.database).code == 0
    done = owned.sync(APP_ENV="production")
    assert done.code == 0, done.stderr
    assert owned.query("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == [
        (name,)
    ]


def test_a_reader_reads_the_catalog_and_the_feed_and_nothing_else(service: Service) -> None:
    assert service.sync().code == 0
    role = "odds; \"reader' ü"
    execute(service.database, "DROP ROLE IF EXISTS {}", role)
    execute(service.database, "CREATE ROLE {} LOGIN", role)
    granted = service.run("db", "grant-read", role, DATABASE_URL=service.database)
    assert granted.code == 0, granted.stderr
    reader = as_role(service.database, role)
    relations = service.query(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('public', 'dagster') AND c.relkind IN ('r', 'v', 'm')"
    )
    assert {name for schema, name in relations if schema == "public"} > set(READABLE)
    for schema, name in relations:
        if schema == "public" and name in READABLE:
            execute(reader, "SELECT * FROM {}.{} LIMIT 1", schema, name)
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(reader, "SELECT * FROM {}.{} LIMIT 1", schema, name)
        with pytest.raises(REFUSED):
            execute(reader, "DELETE FROM {}.{}", schema, name)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(reader, "CREATE TABLE public.mine (id int)")


def test_a_role_that_is_not_there_is_one_sentence(service: Service) -> None:
    done = service.run("db", "grant-read", "no body", DATABASE_URL=service.database)
    assert done.code == 1
    assert 'there is no role no body; make it first: CREATE ROLE "no body" LOGIN' in done.stderr
