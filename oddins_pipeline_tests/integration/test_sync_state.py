"""`provider_sync_state`: the last success and the last error of an entity."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from oddins_pipeline.catalog.requests import SAMPLE_SOURCE
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Target, Workspace
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.payloads import ensure_source
from oddins_pipeline.database.sync_state import record_error

NOW = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


def error(connection: Connection, message: str, at: datetime | None, **more: Any) -> bool:
    workspace = Workspace(Settings(_env_file=None), Target(sample=False, embedded=None), "")
    return record_error(connection, workspace, "leagues_seasons", message, at=at, **more)


def last_error(connection: Connection) -> list[tuple[object, ...]]:
    found = connection.execute("SELECT last_error, last_error_at FROM provider_sync_state")
    return found.fetchall()


@pytest.mark.parametrize("earlier", [timedelta(days=1), timedelta(seconds=1), timedelta()])
def test_an_older_error_never_replaces_a_newer_one(
    connection: Connection, earlier: timedelta
) -> None:
    assert error(connection, "the newer error", NOW)
    assert not error(connection, "the older error", NOW - earlier)
    assert last_error(connection) == [("the newer error", NOW)]


def test_what_failed_before_the_source_was_known_becomes_that_sources(
    connection: Connection,
) -> None:
    """Or the entity would have two states, one of them failing for ever."""
    assert error(connection, "the provider cannot be reached", NOW)
    source_id = ensure_source(connection, SAMPLE_SOURCE, "http://127.0.0.1:8")
    found = connection.execute("SELECT source_id, last_error FROM provider_sync_state").fetchall()
    assert found == [(source_id, "the provider cannot be reached")]


def test_a_newer_error_replaces_an_older_one(connection: Connection) -> None:
    later = NOW + timedelta(seconds=1)
    assert error(connection, "the older error", NOW)
    assert error(connection, "the newer error", later)
    assert last_error(connection) == [("the newer error", later)]


def test_an_error_without_a_time_happened_just_now(connection: Connection) -> None:
    long_ago = NOW - timedelta(days=3650)
    assert error(connection, "an error of long ago", long_ago)
    assert error(connection, "the error of now", None)
    assert not error(connection, "an error of long ago", long_ago)
    ((message, at),) = last_error(connection)
    assert message == "the error of now"
    assert isinstance(at, datetime)
    assert abs(datetime.now(timezone.utc) - at) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("run", "minutes_ago", "failing"),
    [("other", 5, False), ("other", 15, True), ("ours", 5, True), (None, 5, True)],
)
def test_a_run_that_was_frozen_makes_nothing_look_failing_that_succeeded_since(
    connection: Connection, run: str | None, minutes_ago: int, failing: bool
) -> None:
    """Another run's request shows when the lock was lost; requests without a run need no lock."""
    connection.execute(
        "INSERT INTO provider_requests (path, run_id, requested_at)"
        " VALUES ('/leagues', %s, now() - make_interval(mins => %s))",
        (run, minutes_ago),
    )
    assert error(connection, "it did nothing for too long", None, run_id="ours", session_age=600)
    success = "SELECT last_error_at > now() - interval '4 minutes' FROM provider_sync_state"
    assert connection.execute(success).fetchone() == (failing,)
