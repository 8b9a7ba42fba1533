"""The limiter: the account's minute is shared by every process that knows the database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.database import requests
from oddins_pipeline.database.requests import RequestLog
from oddins_pipeline.errors import DatabaseError, RateLimitError
from oddins_pipeline.provider.client import ApiFootball
from oddins_pipeline_tests.support.client import Time
from oddins_pipeline_tests.support.service import KEY

Connection = psycopg.Connection[tuple[object, ...]]

PROCESS = """
import sys, time, psycopg
from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.database import requests
requests.WINDOW = 2.0
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    log = requests.RequestLog(connection, sys.argv[2], 8)
    for _ in range(8):
        while (pause := log.try_acquire("/leagues", {})[1]) > 0:
            time.sleep(pause)
"""


@pytest.fixture
def connection(shared_database: str) -> Iterator[Connection]:
    with psycopg.connect(shared_database, autocommit=True) as opened:
        opened.execute("DELETE FROM provider_requests")
        yield opened


@pytest.fixture
def log(connection: Connection) -> RequestLog:
    return RequestLog(connection, "mine", per_minute=8)


def sent(
    connection: Connection, times: int = 1, ago: float = 1, run_id: str = "other", **columns: object
) -> None:
    """Rows of requests that were sent `ago` seconds before now."""
    names = ["requested_at", "run_id", "path", *(name for name in columns if name != "path")]
    values = [run_id, columns.pop("path", "/leagues"), *columns.values()]
    marks = ", ".join(["now() - make_interval(secs => %s)", *["%s"] * len(values)])
    for _ in range(times):
        connection.execute(
            f"INSERT INTO provider_requests ({', '.join(names)}) VALUES ({marks})".encode(),
            (ago, *values),
        )


def test_three_processes_together_send_eight_in_any_window(
    shared_database: str, connection: Connection, tmp_path: Path
) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", PROCESS, shared_database, str(n)], cwd=tmp_path)
        for n in range(3)
    ]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]
    busiest = connection.execute(
        "SELECT max(n), count(*) FROM (SELECT count(*) OVER (ORDER BY requested_at"
        " RANGE BETWEEN CURRENT ROW AND interval '1.99 s' FOLLOWING) AS n"
        " FROM provider_requests) AS windows"
    ).fetchone()
    assert busiest == (8, 24)


def test_requests_without_an_outcome_count(connection: Connection, log: RequestLog) -> None:
    sent(connection, 8, ago=20)
    row, pause = log.try_acquire("/leagues", {})
    assert row is None
    assert 35 < pause <= 40


def test_the_window_slides(connection: Connection, log: RequestLog) -> None:
    sent(connection, 1, ago=59)
    sent(connection, 7, ago=5)
    assert 0 < log.try_acquire("/leagues", {})[1] <= 1
    sent(connection, 20, ago=61)
    connection.execute("DELETE FROM provider_requests WHERE requested_at > now() - interval '60 s'")
    assert log.try_acquire("/leagues", {})[0] is not None


def test_the_free_status_neither_counts_nor_waits(connection: Connection, log: RequestLog) -> None:
    sent(connection, 30, path="/status")
    assert log.try_acquire("/leagues", {})[0] is not None
    sent(connection, 8)
    assert log.try_acquire("/leagues", {})[0] is None
    assert log.try_acquire("/status", {})[0] is not None


@pytest.mark.parametrize(("reported", "allowed"), [(300, 240), (10, 8), (5, 4), (1, 1), (0, 1)])
def test_the_headers_decide_how_many_a_minute(
    connection: Connection, log: RequestLog, reported: int, allowed: int
) -> None:
    sent(connection, ago=3600, minute_limit=reported)
    sent(connection, allowed - 1, ago=1)
    assert log.try_acquire("/leagues", {})[0] is not None
    assert log.try_acquire("/leagues", {})[0] is None


def test_a_used_minute_is_waited_for(connection: Connection, log: RequestLog) -> None:
    sent(connection, ago=20, minute_remaining=0, outcome="ok")
    assert 35 < log.try_acquire("/leagues", {})[1] <= 40
    sent(connection, ago=10, minute_remaining=7, outcome="ok")
    assert log.try_acquire("/leagues", {})[0] is not None


def test_another_runs_rate_limit_is_waited_for_and_ones_own_by_its_retry_after(
    connection: Connection, log: RequestLog
) -> None:
    sent(connection, ago=20, run_id="mine", outcome="rate_limit", minute_remaining=0)
    assert log.try_acquire("/leagues", {})[0] is not None
    sent(connection, ago=10, run_id="other", outcome="rate_limit")
    assert 45 < log.try_acquire("/leagues", {})[1] <= 50


def test_a_row_is_there_before_the_request_and_complete_after(
    shared_database: str, connection: Connection, log: RequestLog
) -> None:
    row, _ = log.try_acquire("/leagues", {"season": "2024"})
    assert row is not None
    with psycopg.connect(shared_database) as other:
        found = other.execute("SELECT path, params, run_id, outcome FROM provider_requests")
        assert found.fetchall() == [("/leagues", {"season": "2024"}, "mine", None)]
    log.complete(row, status=200, outcome="ok", quota=Quota(100, 99, 10, 9))
    done = connection.execute(
        "SELECT http_status, outcome, day_limit, day_remaining, minute_limit, minute_remaining,"
        " completed_at >= requested_at FROM provider_requests"
    ).fetchall()
    assert done == [(200, "ok", 100, 99, 10, 9, True)]


def limits(total: float) -> RequestLimits:
    return RequestLimits(5, 5, 5, total_timeout=total, max_body_mb=1)


def test_a_sync_waits_for_room_and_gives_up_when_that_is_too_long(
    connection: Connection, log: RequestLog
) -> None:
    sent(connection, 8, ago=0)
    time = Time()
    with (
        ApiFootball("http://127.0.0.1:9", KEY, limits(30), log, clock=time.clock()) as client,
        pytest.raises(RateLimitError, match="retry after"),
    ):
        client.fetch("/leagues", {})
    assert time.slept == []
    assert connection.execute("SELECT count(*) FROM provider_requests").fetchone() == (8,)


def test_a_lost_connection_is_a_failure_of_the_database(
    connection: Connection, log: RequestLog
) -> None:
    connection.close()
    with pytest.raises(DatabaseError):
        log.try_acquire("/leagues", {})


def test_the_window_is_a_minute() -> None:
    assert requests.WINDOW == 60
