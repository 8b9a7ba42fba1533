"""When backfills and catch-up may spend a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from oddins_pipeline.catalog.account import AccountState
from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.database.requests import load_account_state
from oddins_pipeline.errors import FINAL
from oddins_pipeline.pipeline.quota_policy import background_blocked_reason, blocked_reason


@pytest.mark.parametrize(
    ("left", "limit", "may"),
    [
        (None, None, True),
        (750, 7500, True),
        (749, 7500, False),
        (10, 100, True),
        (9, 100, False),
        (0, 100, False),
        (5, None, True),
        (0, 0, True),
    ],
)
def test_below_a_tenth_of_the_days_requests_background_requests_waits(
    left: int | None, limit: int | None, may: bool
) -> None:
    reported = blocked_reason(AccountState(left, limit, None))
    assert (reported is None) is may
    if reported:
        assert f"{left} of the day's {limit} requests" in reported


def test_after_a_final_failure_background_requests_waits_whatever_is_left() -> None:
    reported = blocked_reason(AccountState(7000, 7500, "suspended"))
    assert reported is not None
    assert "suspended" in reported
    assert "full sync succeeds" in reported


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


Connection = psycopg.Connection[tuple[object, ...]]


def request(
    connection: Connection, outcome: str | None, ago: str = "1 minute", **reported: Any
) -> None:
    connection.execute(
        "INSERT INTO provider_requests"
        " (path, params, outcome, requested_at, day_remaining, day_limit)"
        " VALUES (%s, %s, %s, now() - %s::interval, %s, %s)",
        (
            *(reported.get("path", "/leagues"), reported.get("params", "{}"), outcome, ago),
            *(reported.get("left"), reported.get("limit", 100)),
        ),
    )


def success(connection: Connection, entity: str, ago: str) -> None:
    connection.execute(
        "WITH s AS (INSERT INTO provider_sources (name, base_url) VALUES ('x', 'y')"
        " ON CONFLICT (name) DO UPDATE SET base_url = 'y' RETURNING id)"
        " INSERT INTO provider_sync_state (source_id, entity, last_synced_at)"
        " SELECT id, %s, now() - %s::interval FROM s",
        (entity, ago),
    )


def test_a_new_database_objects_to_nothing(connection: Connection) -> None:
    assert load_account_state(connection, LEAGUES) == AccountState(None, None, None)


def test_the_newest_word_on_todays_quota_counts(connection: Connection) -> None:
    request(connection, "ok", "0 s", left=80)
    request(connection, "ok", "0 s", left=5)
    request(connection, "transport_fault", "0 s", left=None)
    assert load_account_state(connection, LEAGUES) == AccountState(5, 100, None)
    assert "5 of the day's 100" in str(background_blocked_reason(connection, LEAGUES))


def test_yesterdays_quota_is_no_news(connection: Connection) -> None:
    request(connection, "ok", "25 hours", left=0)
    assert background_blocked_reason(connection, LEAGUES) is None


@pytest.mark.parametrize("outcome", sorted(FINAL))
def test_a_final_failure_objects_until_a_full_sync_succeeds(
    connection: Connection, outcome: str
) -> None:
    success(connection, "leagues_seasons", "2 hours")
    request(connection, outcome, "1 hour")
    success(connection, "leagues_seasons_partial", "1 minute")
    assert outcome in str(background_blocked_reason(connection, LEAGUES))
    connection.execute(
        "UPDATE provider_sync_state SET last_synced_at = now() WHERE entity = 'leagues_seasons'"
    )
    assert background_blocked_reason(connection, LEAGUES) is None


@pytest.mark.parametrize("outcome", ["plan", "bad_request"])
def test_what_one_season_was_refused_for_says_nothing_of_the_others(
    connection: Connection, outcome: str
) -> None:
    request(connection, outcome, params='{"season": "1950"}')
    assert background_blocked_reason(connection, LEAGUES) is None
    request(connection, outcome)
    assert outcome in str(background_blocked_reason(connection, LEAGUES))


@pytest.mark.parametrize("outcome", ["ok", "transport_fault", "provider_fault", "rate_limit", None])
def test_what_may_pass_objects_to_nothing(connection: Connection, outcome: str | None) -> None:
    request(connection, outcome)
    assert background_blocked_reason(connection, LEAGUES) is None


def test_a_failed_status_request_objects_to_nothing(connection: Connection) -> None:
    request(connection, "rejected_key", path="/status")
    assert background_blocked_reason(connection, LEAGUES) is None


def test_a_refused_response_is_a_final_failure(connection: Connection) -> None:
    success(connection, "leagues_seasons", "2 hours")
    connection.execute(
        "INSERT INTO provider_payloads (source_id, entity, fetched_at, last_seen_at, bytes, sha256,"
        " results, refusal) SELECT id, 'leagues_seasons', now(), now(), 1, 'x', 1, 'shrunk'"
        " FROM provider_sources"
    )
    assert "refused" in str(background_blocked_reason(connection, LEAGUES))


@pytest.mark.parametrize(
    ("after_midnight", "blocked"), [("-1 second", False), ("0", True), ("1 second", True)]
)
def test_a_used_up_quota_blocks_until_midnight_utc(
    connection: Connection, after_midnight: str, blocked: bool
) -> None:
    # One transaction: both statements see the same day, even at midnight.
    with connection.transaction():
        connection.execute(
            "INSERT INTO provider_requests"
            " (path, outcome, requested_at, day_remaining, day_limit)"
            " VALUES ('/leagues', 'ok', date_trunc('day', now() AT TIME ZONE 'UTC')"
            " AT TIME ZONE 'UTC' + %s::interval, 0, 100)",
            (after_midnight,),
        )
        assert (background_blocked_reason(connection, LEAGUES) is not None) is blocked


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_the_quota_resets_at_midnight_utc_whatever_the_servers_time_zone(
    connection: Connection, zone: str
) -> None:
    with connection.transaction():
        connection.execute("SELECT set_config('TimeZone', %s, true)", (zone,))
        for second, blocked in (("-1 second", False), ("1 second", True)):
            connection.execute(
                "INSERT INTO provider_requests"
                " (path, outcome, requested_at, day_remaining, day_limit)"
                " VALUES ('/leagues', 'ok', date_trunc('day', now() AT TIME ZONE 'UTC')"
                " AT TIME ZONE 'UTC' + %s::interval, 0, 100)",
                (second,),
            )
            assert (background_blocked_reason(connection, LEAGUES) is not None) is blocked
