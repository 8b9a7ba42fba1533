"""Dagster's storage in the catalog's database, on a real server."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from dagster import DagsterEventType, DagsterInstance, EventLogEntry, asset, materialize
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import serialize_value
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy import (
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from oddins_pipeline.config import workspace
from oddins_pipeline.errors import DatabaseError, SchemaError
from oddins_pipeline.orchestration import storage as module
from oddins_pipeline.orchestration.storage import (
    APPLICATION_NAME,
    SESSION_OPTIONS,
    CatalogStorage,
    storage_url,
)
from oddins_pipeline.orchestration.storage_session import DIALECT
from oddins_pipeline_tests.support.daemon import wait_for

PHASES = (
    DagsterEventType.RUN_START,
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.RUN_SUCCESS,
)
LOG_LINE = "report_engine_event('one', job_name='any', run_id='r')"
PASSWORD = "pass/w@rd-4711"  # noqa: S105 - the local socket asks for none
DAGSTER_YAML = Path(workspace.__file__).parents[2] / "dagster.yaml"
pytestmark = pytest.mark.filterwarnings("ignore:Handling yaml-defined logging:dagster.BetaWarning")


@pytest.fixture
def url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The catalog's address with a password in it, as the environment gives it."""
    url = database.replace("postgres@", f"postgres:{quote(PASSWORD, safe='')}@", 1)
    monkeypatch.setenv("DATABASE_URL", url)
    return url


@pytest.fixture
def dagster_home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML.read_text())
    return tmp_path


@asset
def one() -> int:
    return 1


def query(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def test_the_address_keeps_every_parameter_and_adds_the_schema() -> None:
    given = (
        "postgresql://me:p%40ss@db.example:6432/odds?sslmode=verify-full&options=-cwork_mem%3D8MB"
    )
    made = make_url(storage_url(given))
    assert made.drivername == DIALECT
    arguments = create_engine(made).dialect.create_connect_args(made)[1]
    assert arguments.pop("options").startswith(
        "-cwork_mem=8MB -csearch_path=dagster -ctimezone=UTC"
    )
    assert arguments == {
        "user": "me",
        "password": "p@ss",
        "host": "db.example",
        "port": "6432",
        "dbname": "odds",
        "sslmode": "verify-full",
        "application_name": APPLICATION_NAME,
        "client_encoding": "UTF8",
        **SESSION_OPTIONS,
    }


def test_a_run_keeps_its_records_in_the_schema_dagster_over_two_connections(
    url: str, dagster_home: Path
) -> None:
    public = query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    with DagsterInstance.from_config(str(dagster_home)) as instance:
        result = materialize([one], instance=instance)
        assert result.success
        assert instance.get_latest_materialization_event(one.key) is not None
        sessions = query(
            url,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            APPLICATION_NAME,
        )
        assert sessions[0][0] in {1, 2}
    found = query(url, "SELECT count(*) FROM dagster.event_logs WHERE run_id = %s", result.run_id)
    assert found != [(0,)]
    after = query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert after == public


def test_what_travels_to_other_processes_names_neither_address_nor_password(
    url: str, dagster_home: Path
) -> None:
    with DagsterInstance.from_config(str(dagster_home)) as instance:
        ref = serialize_value(instance.get_ref())
        shown = ref + repr(instance.get_ref()) + str(instance.info_dict())
        assert "CatalogStorage" in ref
        for secret in (PASSWORD, quote(PASSWORD, safe=""), make_url(url).database or url):
            assert secret not in shown
    storage = CatalogStorage.from_config_value(None, {})
    shown = repr(storage) + repr(storage.run_storage) + repr(vars(storage.run_storage)["_engine"])
    assert PASSWORD not in shown


def test_eight_starts_at_once_make_the_tables_once(url: str) -> None:
    address = storage_url(url)
    engines = [create_engine(address, poolclass=NullPool) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda engine: module._ensure_tables(address, engine), engines):
            pass
    assert query(url, "SELECT count(*) FROM dagster.alembic_version") == [(1,)]
    assert CatalogStorage(address).run_storage.get_runs() == []


def test_a_role_that_may_not_create_the_schema_is_reported_what_the_owner_runs(url: str) -> None:
    role = f"role_{make_url(url).database}"
    query(url, f"CREATE ROLE {role} LOGIN")
    as_role = url.replace("postgres:", f"{role}:", 1)
    with pytest.raises(SchemaError, match="CREATE SCHEMA dagster AUTHORIZATION"):
        CatalogStorage(storage_url(as_role))
    query(url, f"CREATE SCHEMA dagster AUTHORIZATION {role}")
    assert CatalogStorage(storage_url(as_role)).run_storage.get_runs() == []


def test_an_unreachable_database_is_one_sentence_without_the_password() -> None:
    url = f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:1/odds"
    with pytest.raises(DatabaseError) as failure:
        CatalogStorage(storage_url(url))
    assert "127.0.0.1" in str(failure.value)
    assert PASSWORD not in str(failure.value)


def test_the_pool_outlives_a_connection_that_the_server_ended(url: str) -> None:
    storage = CatalogStorage(storage_url(url))
    ended = query(
        url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        APPLICATION_NAME,
    )
    assert ended
    assert storage.run_storage.get_runs() == []
    module._engine.cache_clear()


def test_a_run_asks_for_the_schema_once_and_stores_its_events_in_batches(
    url: str, dagster_home: Path
) -> None:
    with DagsterInstance.from_config(str(dagster_home)) as instance:
        assert materialize([one], instance=instance).success
        statements: list[str] = []
        engine = module._engine(storage_url(url), os.getpid())
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        run = materialize([one], instance=instance)
        ended = (
            "SELECT count(*) FROM dagster.event_logs WHERE dagster_event_type = 'PIPELINE_SUCCESS'"
        )
        assert query(url, ended) == [(2,)], "seen by others as soon as the run has ended"
        stored = instance.all_logs(run.run_id)
    assert [each.message for each in stored] == [each.message for each in stored_in_order(stored)]
    assert {each.dagster_event_type for each in stored} >= set(PHASES)
    inserts = [text for text in statements if "INSERT INTO event_logs" in text]
    assert len(inserts) < len(stored) / 2
    assert not [text for text in statements if "pg_catalog" in text or "NOTIFY" in text]
    module._engine.cache_clear()


def test_the_daemon_asks_once_whether_a_migration_is_done(url: str) -> None:
    storage = CatalogStorage(storage_url(url)).schedule_storage
    storage.all_instigator_state()
    statements: list[str] = []
    engine = module._engine(storage_url(url), os.getpid())
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    storage.all_instigator_state()
    assert len(statements) == 1
    module._engine.cache_clear()


def stored_in_order(stored: Sequence[EventLogEntry]) -> list[EventLogEntry]:
    return sorted(stored, key=lambda each: each.timestamp)


def test_events_are_seen_by_others_while_the_run_goes_on(url: str, dagster_home: Path) -> None:
    seen = []

    @asset
    def slow() -> None:
        statement = "SELECT dagster_event_type FROM dagster.event_logs WHERE step_key = 'slow'"
        wait_for(lambda: ("STEP_START",) in query(url, statement), seconds=10, what="its start")
        seen.extend(query(url, "SELECT status FROM dagster.runs"))

    with DagsterInstance.from_config(str(dagster_home)) as instance:
        assert materialize([slow], instance=instance).success
    assert seen == [("STARTED",)]
    module._engine.cache_clear()


def test_events_that_cannot_be_stored_fail_the_run(url: str, dagster_home: Path) -> None:
    @asset
    def breaks_the_log() -> None:
        query(url, "ALTER TABLE dagster.event_logs RENAME TO lost")

    with (
        pytest.raises(DBAPIError, match="event_logs"),
        DagsterInstance.from_config(str(dagster_home)) as instance,
    ):
        materialize([breaks_the_log], instance=instance)
    assert query(url, "SELECT status FROM dagster.runs") != [("SUCCESS",)]
    module._engine.cache_clear()


def test_a_script_that_ends_at_once_loses_no_event(url: str, dagster_home: Path) -> None:
    for report in ("report_runless_asset_event(dg.AssetMaterialization('a'))", LOG_LINE):
        script = f"import dagster as dg; instance = dg.DagsterInstance.get(); instance.{report}"
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "DATABASE_URL": url, "DAGSTER_HOME": str(dagster_home)},
            check=True,
        )
    assert len(query(url, "SELECT id FROM dagster.event_logs")) == 2


def test_events_wait_for_a_connection_and_are_stored_without_being_asked_for(
    url: str, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DagsterInstance.from_config(str(dagster_home)) as instance:
        storage = instance.event_log_storage
        refused: list[int] = []
        connect = storage._connect  # type: ignore[attr-defined]

        def refusing() -> Any:
            if len(refused) < 2:
                refused.append(1)
                raise DagsterPostgresException("too many connections")
            return connect()

        monkeypatch.setattr(storage, "_connect", refusing)
        instance.report_engine_event("late", job_name="any", run_id="r")
        wait_for(
            lambda: bool(query(url, "SELECT 1 FROM dagster.event_logs")), seconds=10, what="it"
        )
    assert len(refused) == 2
    module._engine.cache_clear()


def test_the_next_host_is_tried_when_one_does_not_respond(url: str) -> None:
    directory = str(make_url(url).query["host"])
    CatalogStorage(storage_url(url))  # makes the tables over many connections
    with deaf_port() as port:
        several = make_url(storage_url(url)).update_query_dict(
            {"host": f"127.0.0.1,{directory}", "port": f"{port},5432", "connect_timeout": "1"}
        )
        storage = CatalogStorage(several.render_as_string(hide_password=False))
        assert storage.run_storage.get_runs() == []
    module._engine.cache_clear()


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_statements_are_bounded_but_a_migrations_changes_are_not(url: str) -> None:
    table = Table("added", MetaData(), Column("id", Integer))
    CatalogStorage(storage_url(url))
    engine = module._engine(storage_url(url), os.getpid())
    with engine.connect() as connection:
        bound = text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        assert tuple(connection.execute(bound).one()) == ("5min", "1min")
        assert not inspect(connection).has_table("added")
        connection.execute(CreateTable(table))
        assert connection.execute(bound).one()[0] == "0"
        assert inspect(connection).has_table("added")
        assert [one["name"] for one in inspect(connection).get_columns("added")] == ["id"]
        connection.execute(CreateIndex(Index("added_id", table.c.id)))
        assert inspect(connection).get_indexes("added")
    module._engine.cache_clear()


def test_a_search_path_that_a_pooler_drops_is_refused_before_a_table_is_made(url: str) -> None:
    dropped = make_url(storage_url(url)).difference_update_query(["options"])
    with pytest.raises(SchemaError, match="a pooler ignores"):
        CatalogStorage(dropped.render_as_string(hide_password=False))
    assert query(url, "SELECT to_regclass('public.event_logs')") == [(None,)]


def test_dagster_yaml_names_no_environment_variable_and_is_accepted(dagster_home: Path) -> None:
    lines = DAGSTER_YAML.read_text().splitlines()
    assert not [line for line in lines if line.strip().startswith("env:")]
    ref = InstanceRef.from_dir(str(dagster_home))
    assert ref.settings["concurrency"] == {"runs": {"max_concurrent_runs": 1}}
    # Each costs statements all day long: a daemon for run retries, a DELETE for each other number.
    assert not ref.settings.get("run_retries")
    assert ref.settings["retention"] == {
        "schedule": {"purge_after_days": 90},
        "sensor": {"purge_after_days": 7},
    }
    assert ref.storage_data is not None
    assert ref.storage_data.class_name == CatalogStorage.__name__
