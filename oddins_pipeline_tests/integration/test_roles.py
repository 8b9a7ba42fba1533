"""Who may do what in the database: the role that syncs, and the one that only reads."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from oddins_pipeline.cli.db import READABLE
from oddins_pipeline.database.readiness import NEEDED
from oddins_pipeline.database.revision import VERSION_TABLE
from oddins_pipeline.sample_provider import SampleProvider, generate_leagues
from oddins_pipeline.schema import metadata
from oddins_pipeline_tests.support.postgres15 import BINARIES, Postgres15
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Oddins, Outcome, Service, at_database, upgrade_at

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
    assert (
        'there is no role no body; make it first: CREATE ROLE "no body" LOGIN'
        in done.logs[-1]["message"]
    )


def limited(service: Service, *statements: str) -> Service:
    """The service as a role that may do what a sync needs, and no more, after `statements`."""
    role = f"limited_{service.query('SELECT current_database()')[0][0]}"
    execute(service.database, "CREATE ROLE {} LOGIN", role)
    for table, rights in NEEDED.items():
        execute(service.database, f"GRANT {', '.join(rights)} ON {{}} TO {{}}", table, role)
    for statement in ("CREATE SCHEMA dagster AUTHORIZATION {role}", *statements):
        execute(service.database, statement.replace("{role}", f'"{role}"'))
    return Service(service.run, as_role(service.database, role), service.provider)


def test_the_rights_that_a_sync_is_said_to_need_are_enough(service: Service) -> None:
    of_deliveries = {"watched_leagues", "webhook_receivers"}
    assert set(NEEDED) == {VERSION_TABLE, *metadata.tables} - of_deliveries
    least = limited(service)
    entries = generate_leagues(0.02)
    serve(least, entries, entries, entries[1:])
    for _ in range(3):
        done = least.sync("--force", APP_ENV="production")
        assert done.code == 0, done.stderr
    doctor = least.run("doctor", **least.environment())
    assert "ok    rights" in doctor.stdout


def assert_permanent(done: Outcome) -> None:
    errors = [line for line in done.logs if line["level"] == "error"]
    assert [error["retryable"] for error in errors] == [False]


PUBLISHED_BY_ANOTHER = (
    "WITH s AS (INSERT INTO provider_sources (name, base_url) VALUES"
    " ('api-football-sample', 'sample provider') RETURNING id)"
    " INSERT INTO provider_payloads (source_id, entity, params, fetched_at, last_seen_at, bytes,"
    " sha256, results, published_at)"
    " SELECT id, 'leagues_seasons', '{{}}', now(), now(), 1, repeat('0', 64), 1, now() FROM s"
)
REFUSES = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS $$BEGIN RAISE EXCEPTION 'not today'; END$$; "
)
HINDRANCES = {
    "REVOKE TEMP ON DATABASE {database} FROM PUBLIC": "GRANT TEMP ON DATABASE",
    "REVOKE INSERT, UPDATE ON seasons FROM {role}": "GRANT INSERT, UPDATE ON seasons TO",
    "REVOKE DELETE ON provider_requests FROM {role}": "GRANT DELETE ON provider_requests TO",
    "REVOKE USAGE ON SCHEMA public FROM PUBLIC": "GRANT USAGE ON SCHEMA public TO",
    "ALTER SCHEMA dagster OWNER TO postgres": "GRANT USAGE ON SCHEMA dagster TO",
    "CREATE TABLE dagster.kvs (id serial)": "DELETE ON ALL TABLES IN SCHEMA dagster TO",
    "CREATE SEQUENCE dagster.runs_id_seq": "GRANT USAGE ON ALL SEQUENCES IN SCHEMA dagster TO",
    "ALTER TABLE countries OWNER TO pg_monitor; REVOKE UPDATE ON countries FROM pg_monitor": (
        "GRANT UPDATE ON countries TO pg_monitor"
    ),
    "CREATE PUBLICATION two FOR TABLE bets; ALTER TABLE bets REPLICA IDENTITY NOTHING": (
        "does not have a replica identity"
    ),
    REFUSES.replace("trigger", "event_trigger", 1) + "CREATE EVENT TRIGGER refuses"
    " ON ddl_command_end EXECUTE FUNCTION refuse()": "not today",
    REFUSES + "CREATE TRIGGER refuses BEFORE UPDATE ON provider_sync_state"
    " EXECUTE FUNCTION refuse()": "not today",
    "ALTER TABLE leagues ENABLE ROW LEVEL SECURITY": "DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE provider_sources ENABLE ROW LEVEL SECURITY": "DISABLE ROW LEVEL SECURITY",
    PUBLISHED_BY_ANOTHER: "use another database",
}


@pytest.mark.parametrize(("hindrance", "fix"), HINDRANCES.items())
def test_what_the_role_may_not_do_is_found_before_the_request_and_named_by_doctor(
    service: Service, hindrance: str, fix: str
) -> None:
    name = str(service.query("SELECT current_database()")[0][0])
    hindered = limited(service, hindrance.replace("{database}", name))
    address = {"API_FOOTBALL_BASE_URL": "https://provider.example.test"}
    environment = hindered.environment() | (address if hindrance == PUBLISHED_BY_ANOTHER else {})
    done = hindered.run("sync", "leagues", **environment)
    assert done.code == 1
    assert fix in done.stderr
    assert_permanent(done)
    assert service.provider.requests == []
    assert service.query("SELECT count(*) FROM provider_requests") == [(0,)]
    assert service.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    doctor = hindered.run("doctor", **environment)
    assert doctor.code == 1
    assert fix in next(line for line in doctor.stdout.splitlines() if "FAIL  rights" in line)


@pytest.mark.skipif(not BINARIES.is_dir(), reason="listed as left out")
def test_a_standby_is_named_before_the_request(oddins: Oddins, provider: SampleProvider) -> None:
    with Postgres15() as server:
        standby = Service(oddins, server.url("oddins_template"), provider)
        upgrade_at(standby.database)
        server.stop()
        server.become_standby()
        server.start()
        done = standby.sync()
        doctor = standby.run("doctor", **standby.environment())
    assert done.code == 1
    assert "the server is a standby" in done.stderr
    assert "point DATABASE_URL at the primary" in doctor.stdout
    assert_permanent(done)
    assert provider.requests == []


@pytest.mark.skipif(not BINARIES.is_dir(), reason="listed as left out")
def test_a_failure_is_recorded_though_a_synchronous_standby_is_gone(
    oddins: Oddins, provider: SampleProvider
) -> None:
    with Postgres15() as server:
        url = server.url("oddins_template")
        upgrade_at(url)
        execute(url, PUBLISHED_BY_ANOTHER)
        execute(url, "ALTER SYSTEM SET synchronous_standby_names = 'gone'")
        execute(url, "SELECT pg_reload_conf()")
        done = Service(oddins, url, provider).sync(API_FOOTBALL_BASE_URL="https://api.example.test")
        recorded = execute(url, "SELECT last_error FROM provider_sync_state")
    assert done.code == 1
    assert "use another database" in str(recorded)


def test_psql_gets_every_secret_and_shows_none_in_its_arguments(
    service: Service, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "psql"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@"; echo "$PGPASSWORD $PGPASSFILE" >&2; cat "$PGSERVICEFILE" >&2\n'
    )
    program.chmod(0o755)
    separator = "&" if "?" in service.database else "?"
    url = f"{service.database}{separator}p%61ssword=w0rd-1&sslpassword=w0rd-2&passfile=/w0rd-3"
    path = f"{program.parent}:{os.environ['PATH']}"
    done = service.run("db", "psql", "-c", "x", DATABASE_URL=url, PATH=path)
    assert done.code == 0, done.stderr
    assert "w0rd" not in done.stdout
    assert done.stdout.endswith("-c x\n")
    assert "w0rd-1 /w0rd-3\n[oddins]\nsslpassword=w0rd-2\n" in done.stderr
    assert "w0rd" not in service.run("db", "url", DATABASE_URL=url).stdout
    real = service.run("db", "psql", "-Atc", "SELECT 6 * 7", DATABASE_URL=url)
    assert real.stdout == "42\n", real.stderr


def test_a_sync_works_on_several_hosts_and_a_percent_encoded_socket(service: Service) -> None:
    found = psycopg.conninfo.conninfo_to_dict(service.database)
    socket, port = quote(str(found["host"]), safe=""), found["port"]
    url = (
        f"postgresql://postgres:a%2Bb@%2Fnowhere:{port},{socket}:{port}/{found['dbname']}"
        "?target_session_attrs=read-write"
    )
    done = service.sync(DATABASE_URL=url)
    assert done.code == 0, done.stderr
    assert service.query("SELECT count(*) > 0 FROM dagster.runs") == [(True,)]


def test_too_few_connections_stop_a_sync_before_its_request(service: Service) -> None:
    least = limited(service)
    assert least.sync().code == 0, "Dagster's tables are made"
    for connections in (0, 1, 2, 3):
        role = f"limited_{service.query('SELECT current_database()')[0][0]}"
        statement = f"ALTER ROLE {{}} CONNECTION LIMIT {connections}"
        execute(service.database, statement, role)
        asked = len(service.provider.requests)
        done = least.sync("--force")
        assert done.code == (0 if connections == 3 else 1), done.stderr
        if done.code:
            assert "too many connections" in done.logs[-1]["message"]
            assert "check that PostgreSQL runs" not in done.stderr
            assert "Traceback" not in done.stderr
            assert len(service.provider.requests) == asked
