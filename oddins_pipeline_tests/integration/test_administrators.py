"""What an administrator may have set for role, database or environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

import oddins_pipeline
from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Target, Workspace
from oddins_pipeline.database import connection as connection_module
from oddins_pipeline.database import revision
from oddins_pipeline.database.catalog_facts import load_facts
from oddins_pipeline.database.changes import ChangeFilter, changes
from oddins_pipeline.database.connection import connect
from oddins_pipeline.database.pool import reading
from oddins_pipeline.database.status import load_status
from oddins_pipeline.logs import redact
from oddins_pipeline.pipeline.staleness import stale_after
from oddins_pipeline_tests.support.core import core_on
from oddins_pipeline_tests.support.responses import ENTRIES, copied
from oddins_pipeline_tests.support.service import Service

HURTFUL = {
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_session_timeout": "300",
    "idle_in_transaction_session_timeout": "20",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kathmandu",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "search_path": "pg_catalog",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "exit_on_error": "on",
    "quote_all_identifiers": "on",
    "client_min_messages": "debug5",
    "temp_buffers": "800kB",
    "work_mem": "64kB",
    "extra_float_digits": "-15",
    "default_statistics_target": "1",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "default_tablespace": "nowhere",
}
ENVIRONMENT = {
    "PGOPTIONS": " ".join(
        f"-c {name}={value}"
        for name, value in HURTFUL.items()
        if name not in {"DateStyle", "default_tablespace"}  # no name that libpq would refuse
    ),
    "PGCLIENTENCODING": "LATIN1",
    "PGDATESTYLE": "SQL,DMY",
    "PGTZ": "Asia/Kathmandu",
    "PGAPPNAME": "other",
}


def workspace_of(url: str, **settings: Any) -> Workspace:
    known = Settings(_env_file=None, database_url=url, **settings)
    return Workspace(known, Target(sample=False, embedded=None), url)


def set_for_role(url: str, _patch: pytest.MonkeyPatch) -> str:
    with psycopg.connect(url, autocommit=True) as admin:
        name = f"hurt_{admin.info.dbname}"  # the server has other databases
        role = sql.Identifier(name)
        admin.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(role))
        newer = {"transaction_timeout": "1"} if admin.info.server_version >= 170_000 else {}
        for setting, value in {**HURTFUL, **newer}.items():
            statement = sql.SQL("ALTER ROLE {} SET {} = {}")
            admin.execute(statement.format(role, sql.Identifier(setting), value))
    return url.replace("postgres@", f"{name}@", 1)


def set_for_database(url: str, _patch: pytest.MonkeyPatch) -> str:
    with psycopg.connect(url, autocommit=True) as admin:
        database = sql.Identifier(admin.info.dbname)
        for name, value in HURTFUL.items():
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
            admin.execute(statement.format(database, sql.Identifier(name), value))
    return url


def set_in_the_environment(url: str, patch: pytest.MonkeyPatch) -> str:
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
    return url


def life_of(url: str) -> list[Any]:
    """What two syncs, a status and the checks see, times aside."""
    workspace = workspace_of(url)
    with connect(workspace, purpose="test") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        revision.ensure_current(connection, workspace)
    renamed = copied(ENTRIES)
    renamed[3]["league"]["name"] = "Äöü 'quoted' \\ NULL"
    with core_on(url) as core:
        counts = [core.sync(ENTRIES), core.sync(renamed), core.sync(renamed)]
        feed = core.feed()
        assert core.query("SHOW temp_buffers") == [("64MB",)]
    limit = stale_after(workspace.settings, LEAGUES)
    with reading(workspace) as connection:
        status = load_status(connection)
        facts = load_facts(connection, LEAGUES, stale_after=limit)
        shown = changes(connection, ChangeFilter(100))
    synced_at = facts.last_synced_at
    assert synced_at is not None
    assert synced_at.utcoffset() is not None
    assert not status["sync"][0]["failing"]
    described = [(change["entity"], change["natural_key"], change["league"]) for change in shown]
    return [counts, feed, status["rows"], facts.listed, facts.stale_after, described]


@pytest.mark.parametrize("set_at", [set_for_role, set_for_database, set_in_the_environment])
def test_settings_of_role_database_and_environment_change_nothing(
    any_database: str,
    monkeypatch: pytest.MonkeyPatch,
    set_at: Callable[[str, pytest.MonkeyPatch], str],
) -> None:
    plain = life_of(any_database)
    assert life_of(set_at(any_database, monkeypatch)) == plain


def test_a_time_out_that_hits_before_it_is_replaced_costs_an_attempt(
    any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine so busy that the first statement takes longer than the role's time-out."""
    url = set_for_role(any_database, monkeypatch)
    slow = iter(["SELECT pg_sleep(0.1);"])
    pin = connection_module._pin
    monkeypatch.setattr(
        connection_module, "_pin", lambda *args, **kw: next(slow, "") + pin(*args, **kw)
    )
    with connect(workspace_of(url), purpose="test") as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() != ("1ms",)
    assert next(slow, None) is None


def test_a_sync_and_its_record_in_dagster_take_no_setting_of_the_role(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = service.sync(DATABASE_URL=set_for_role(service.database, monkeypatch))
    assert done.code == 0, done.stderr
    assert service.query("SELECT status FROM dagster.runs") == [("SUCCESS",)]


def test_commands_and_sensors_work_with_the_settings_of_an_environment(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = service.sync(**ENVIRONMENT)
    assert done.code == 0, done.stderr
    for command in ("status", "changes", "doctor", "db upgrade"):
        shown = service.run(*command.split(), **service.environment(), **ENVIRONMENT)
        assert shown.code == 0, (command, shown.stdout, shown.stderr)
    import dagster as dg

    from oddins_pipeline.orchestration.sensors import open_tick

    for name, value in {**service.environment(), **ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    with open_tick(dg.build_sensor_context(), "test") as tick:
        assert tick.connection.execute("SHOW TimeZone").fetchone() == ("UTC",)


def test_a_password_of_a_file_is_masked_once_it_is_used(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passwords"
    file.write_text("*:*:*:*:of-a-file\\:1\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    connect(workspace_of(database), purpose="test").close()
    assert redact("it is of-a-file:1") == "it is ***"


def test_a_default_directory_that_cannot_be_made_is_named_before_any_connection(
    service: Service, tmp_path: Path
) -> None:
    """That of an installed package; a checkout has its own."""
    package = Path(oddins_pipeline.__file__).parent
    shutil.copytree(
        package, tmp_path / "site" / package.name, ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "data").touch()
    place = {
        "PYTHONPATH": str(tmp_path / "site"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "ODDINS_HOME": "",
    }
    for environment in ({}, service.environment()):
        for command in (("sync", "leagues"), ("doctor",)):
            done = service.run(*command, **environment, **place)
            shown = done.stdout + done.stderr
            assert "cannot be made" in shown, shown
            assert str(tmp_path / "data") in shown
            assert "set ODDINS_HOME" in shown
            assert done.code == (1 if environment and command == ("doctor",) else 2)
    assert "/leagues" not in {path for _, path, _ in service.provider.requests}
    assert service.query("SELECT count(*) FROM provider_sync_state") == [(0,)]


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_upgrades_and_a_sync_at_once_succeed_under_any_default_isolation(
    service: Service, tmp_path: Path, isolation: str
) -> None:
    with psycopg.connect(service.database, autocommit=True) as admin:
        admin.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        statement = sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = {}")
        admin.execute(statement.format(sql.Identifier(admin.info.dbname), isolation))
    commands = (["db", "upgrade"], ["db", "upgrade"], ["sync", "leagues", "--lock-timeout", "60"])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "oddins_pipeline", *command],
            env={**os.environ, **service.environment()},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    shown = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], shown
