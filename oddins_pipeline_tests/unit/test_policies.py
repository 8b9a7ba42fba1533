"""What the sensors decide, on plain values."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from oddins_pipeline.database.backfills import MAX_ATTEMPTS, Request, Status
from oddins_pipeline.pipeline.backfill_policy import due, next_status
from oddins_pipeline.pipeline.catch_up import CatchUpState, catch_up, catch_up_backoff
from oddins_pipeline.pipeline.failures import RunFailure

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
DAY = timedelta(hours=26)


def request(
    number: int = 1, status: Status = "running", attempts: int = 1, due_in: float = 0
) -> Request:
    return Request(number, 2000 + number, status, attempts, NOW + timedelta(seconds=due_in))


def test_a_failed_attempt_is_tried_again_after_pauses_that_double() -> None:
    failed = RunFailure("transport_fault", "the provider did not response in time")
    found = [next_status(request(attempts=n), failed, pause=300) for n in range(1, MAX_ATTEMPTS)]
    assert [one.status for one in found] == ["requested"] * 4
    assert [one.pause_seconds for one in found] == [300, 600, 1200, 2400]
    assert {one.error for one in found} == {failed.message}


def test_the_fifth_failed_attempt_is_the_last() -> None:
    settled = next_status(request(attempts=5), RunFailure("provider_fault", "HTTP 500"), pause=300)
    assert (settled.status, settled.attempts) == ("failed", 5)


@pytest.mark.parametrize("outcome", ["plan", "bad_request", "refused"])
def test_an_error_of_the_season_itself_is_not_asked_for_again(outcome: str) -> None:
    settled = next_status(request(attempts=1), RunFailure(outcome, "not in the plan"), pause=300)
    assert settled.status == "failed"


@pytest.mark.parametrize("outcome", ["lock_held", "postponed"])
def test_a_run_that_asked_nothing_uses_up_no_attempt(outcome: str) -> None:
    settled = next_status(
        request(attempts=5), RunFailure(outcome, "another sync holds the lock"), pause=300
    )
    assert (settled.status, settled.attempts) == ("requested", 4)


def test_at_most_three_are_running_and_only_what_is_due_begins() -> None:
    requests = [
        request(1),
        request(2, "requested", due_in=-1),
        request(3, "requested", due_in=60),
        request(4, "requested", due_in=-2),
        request(5, "requested", due_in=-3),
    ]
    assert [one.id for one in due(requests, NOW, max_concurrent=3)] == [2, 4]
    assert due(requests, NOW, max_concurrent=1) == []


def test_a_fresh_catalog_is_left_alone() -> None:
    asked, reason = catch_up(NOW, NOW - timedelta(hours=25), DAY, CatchUpState(None, 0, None))
    assert asked.times == 0
    assert reason is not None
    assert "not stale" in reason


@pytest.mark.parametrize("synced_at", [None, NOW - timedelta(hours=27)])
def test_a_stale_catalog_is_asked_for_with_growing_pauses(synced_at: datetime | None) -> None:
    asked, now, asked_at = CatchUpState(None, 0, None), NOW, []
    for _ in range(24 * 60):
        asked, reason = catch_up(now, synced_at, DAY, asked)
        if reason is None:
            asked_at.append((now - NOW).total_seconds() / 60)
        now += timedelta(minutes=1)
    # After a minute, in which the schedule may make up for its own tick, then 10, 20, 40 …
    assert asked_at == [1, 11, 31, 71, 151, 311, 631, 991, 1351]


def test_a_sync_between_begins_the_pauses_again() -> None:
    before = CatchUpState(
        (NOW - timedelta(days=9)).isoformat(), 7, (NOW - timedelta(hours=1)).isoformat()
    )
    asked, reason = catch_up(NOW, NOW - timedelta(hours=30), DAY, before)
    assert asked == CatchUpState((NOW - timedelta(hours=30)).isoformat(), 0, NOW.isoformat())
    assert reason is not None


def test_the_pause_never_exceeds_six_hours() -> None:
    assert catch_up_backoff(1000) == timedelta(hours=6)
