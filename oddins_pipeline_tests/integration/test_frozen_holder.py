"""A holder of the lock that does nothing: frozen by SIGSTOP, or its machine paused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.config import settings as module
from oddins_pipeline.errors import DatabaseError, LockHeldError
from oddins_pipeline_tests.support.core import core_on
from oddins_pipeline_tests.support.responses import ENTRIES

BRIEF = RequestLimits(total_timeout=0.1)


@pytest.fixture
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that holds the lock may be idle for 0.4 s."""
    monkeypatch.setattr(module, "IDLE_MARGIN", 0.3)


def test_a_holder_may_be_idle_for_as_long_as_a_request_may_take_and_a_minute(
    database: str,
) -> None:
    with core_on(database, http=RequestLimits(total_timeout=240)) as core:
        for name in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
            assert core.query(f"SHOW {name}") == [("5min",)]


def sync_meanwhile(database: str) -> None:
    """Another process's sync, after a holder has been frozen for longer than it may be."""
    time.sleep(0.8)
    with core_on(database, http=BRIEF) as core:
        core.sync(ENTRIES)


def freeze_while_idle(database: str) -> None:
    with core_on(database, http=BRIEF) as frozen:
        sync_meanwhile(database)
        frozen.sync(ENTRIES[:2])


def freeze_before_any_other_statement(database: str) -> None:
    with core_on(database, http=BRIEF) as frozen:
        sync_meanwhile(database)
        frozen.execute("DELETE FROM countries")


def freeze_in_a_transaction(database: str) -> None:
    with core_on(database, http=BRIEF) as frozen, frozen.connection.transaction():
        frozen.execute("DELETE FROM countries")
        sync_meanwhile(database)


FREEZES = (freeze_while_idle, freeze_before_any_other_statement, freeze_in_a_transaction)


@pytest.mark.usefixtures("_brief")
@pytest.mark.parametrize("freeze", FREEZES)
def test_a_frozen_holder_loses_the_lock_and_fails_before_it_writes(
    database: str, freeze: Callable[[str], None]
) -> None:
    with pytest.raises(DatabaseError, match="did nothing for too long"):
        freeze(database)
    with psycopg.connect(database) as connection:
        written = "SELECT (SELECT count(*) FROM provider_payloads), count(*) FROM leagues"
        assert connection.execute(written).fetchone() == (1, len(ENTRIES))


def freeze_in_a_copy(database: str) -> None:
    limits = {"http": BRIEF, "statement_timeout": 0.5}
    with core_on(database, **limits) as frozen, frozen.connection.cursor() as cursor:
        frozen.execute("CREATE TEMPORARY TABLE staged (id int)")
        with cursor.copy("COPY staged FROM STDIN") as copy:
            copy.write("1\n")
            assert is_locked(database, limits)
            time.sleep(0.8)
            assert is_locked(database, limits)  # but its session has been ended by this attempt
            sync_meanwhile(database)


def is_locked(database: str, limits: dict[str, Any]) -> bool:
    try:
        with core_on(database, **limits):
            return False
    except LockHeldError:
        return True


@pytest.mark.usefixtures("_brief")
def test_a_holder_that_froze_in_a_copy_is_ended_by_the_next_sync(any_database: str) -> None:
    """No time-out of a session ends it there."""
    with pytest.raises(DatabaseError, match="terminating connection"):
        freeze_in_a_copy(any_database)
