"""Older and newer databases, backup and restore."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.pool import NullPool

from oddins_pipeline.database import upgrade as module
from oddins_pipeline.database.revision import REVISIONS
from oddins_pipeline.embedded_postgres.root import binaries
from oddins_pipeline_tests.support.postgres15 import BINARIES
from oddins_pipeline_tests.support.service import KEY, Service, at_database

READ = """
SELECT c.name, l.name, s.year, v.odds FROM countries c JOIN leagues l ON l.country_id = c.id
JOIN seasons s ON s.league_id = l.id JOIN season_coverage v ON v.season_id = s.id
"""


def migrate_to(url: str, revision: str) -> None:
    """Builds the schema as the software of that revision left it."""
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    address = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(address, poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def fill(service: Service) -> None:
    """Every season that the provider lists, as rows of the first revision."""
    with psycopg.connect(service.database) as connection:
        for entry in service.provider.entries:
            connection.execute(
                "WITH c AS (INSERT INTO countries (name) VALUES (%(country)s)"
                " ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id),"
                " l AS (INSERT INTO leagues (country_id, provider_league_id, name, slug)"
                " SELECT id, %(id)s, %(name)s, 'slug-' || %(id)s FROM c RETURNING id),"
                " s AS (INSERT INTO seasons (league_id, year, is_current)"
                " SELECT l.id, y, false FROM l, unnest(%(years)s::int[]) y RETURNING id)"
                " INSERT INTO season_coverage (season_id) SELECT id FROM s",
                {
                    "country": entry["country"]["name"],
                    "id": entry["league"]["id"],
                    "name": entry["league"]["name"],
                    "years": sorted({season["year"] for season in entry["seasons"]}),
                },
            )


@contextmanager
def reading(url: str) -> Iterator[list[object]]:
    """Reads in a loop meanwhile; yields what it saw: row counts, or errors."""
    seen: list[object] = []
    done = threading.Event()

    def read() -> None:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                while not done.is_set():
                    seen.append(len(connection.execute(READ.encode()).fetchall()))
        except psycopg.Error as error:
            seen.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    yield seen
    done.set()
    thread.join()


def emptied(service: Service) -> None:
    with psycopg.connect(service.database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def test_an_old_database_upgrades_while_readers_read_and_keeps_its_rows(
    any_service: Service,
) -> None:
    emptied(any_service)
    migrate_to(any_service.database, REVISIONS[0])
    fill(any_service)
    before = any_service.query("SELECT id, provider_league_id, slug FROM leagues ORDER BY id")
    rows = len(any_service.query(READ))
    with reading(any_service.database) as seen:
        done = any_service.run("db", "upgrade", DATABASE_URL=any_service.database)
    assert done.code == 0, done.stderr
    assert f"revision {REVISIONS[-1]} (was {REVISIONS[0]})" in done.stdout
    assert len(seen) > 10
    assert set(seen) == {rows}
    assert (
        any_service.query("SELECT id, provider_league_id, slug FROM leagues ORDER BY id") == before
    )
    assert any_service.sync().code == 0
    assert (
        any_service.query("SELECT id, provider_league_id, slug FROM leagues ORDER BY id") == before
    )


def test_production_is_reported_to_upgrade_and_nothing_is_fetched(service: Service) -> None:
    emptied(service)
    migrate_to(service.database, REVISIONS[0])
    status = service.run("status", **service.environment())
    for done in (service.sync(APP_ENV="production"), status):
        assert done.code == 1
        assert "run `oddins db upgrade`" in done.stderr
    assert service.provider.requests == []


@pytest.mark.parametrize(
    "arguments", [["sync", "leagues"], ["status"], ["db", "upgrade"], ["doctor"]]
)
def test_a_newer_database_is_refused_with_one_sentence(
    service: Service, arguments: list[str]
) -> None:
    service.query("UPDATE oddins_alembic_version SET version_num = '9999' RETURNING 1")
    done = service.run(*arguments, **service.environment())
    assert done.code == 1
    reported = done.stdout + done.stderr
    assert "the database is at revision 9999, which is newer than this software" in reported
    assert "Traceback" not in reported
    assert service.provider.requests == []


def programs(version: int) -> Path:
    return BINARIES if version == 15 else binaries(None)


def test_a_backup_restored_elsewhere_goes_on_where_it_was(
    any_service: Service, tmp_path: Path
) -> None:
    assert any_service.sync().code == 0
    version = int(any_service.query("SHOW server_version_num")[0][0]) // 10_000
    tools, dump = programs(version), tmp_path / "oddins.dump"
    _run(tools / "pg_dump", "--format=custom", f"--file={dump}", any_service.database)
    name = f"restored_{os.getpid()}"
    with psycopg.connect(at_database(any_service.database, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name}")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    restored = Service(
        any_service.run, at_database(any_service.database, name), any_service.provider
    )
    _run(tools / "pg_restore", "--exit-on-error", f"--dbname={restored.database}", dump)
    statement = "SELECT count(*), max(id), max(updated_at) FROM seasons"
    assert restored.query(statement) == any_service.query(statement)
    runs = "SELECT count(*) FROM dagster.runs WHERE status = 'SUCCESS'"
    assert restored.query(runs) == [(1,)]
    again = restored.sync(SPORTS_PROVIDER_API_KEY=KEY)
    assert again.code == 0, again.stderr
    assert again.json["unchanged"]
    assert restored.query(runs) == [(2,)]


def _run(*command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
