"""What the sensors decide, as pure functions over plain values: no clock, no database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from oddins_pipeline.catalog.season_range import FIRST_SEASON, is_season, last_season
from oddins_pipeline.database.backfills import MAX_ATTEMPTS, Request, StatusUpdate
from oddins_pipeline.errors import (
    BadRequestError,
    LockHeldError,
    NoSeasonError,
    PlanError,
    PostponedError,
)

FREE = frozenset({LockHeldError.outcome, PostponedError.outcome, NoSeasonError.outcome})
"""Outcomes of runs that did not get to ask the provider: nothing failed, no attempt is used up."""

_NOT_RETRYABLE = frozenset({PlanError.outcome, BadRequestError.outcome})
"""Outcomes that speak of the season itself: asking again gives the same answer."""

FREE_PAUSE = 60.0
CATCH_UP_PAUSE = timedelta(minutes=10)
MAX_PAUSE = timedelta(hours=6)


@dataclass(frozen=True)
class RunFailure:
    """How a run ended that did not succeed: its outcome (see `errors`), one sentence, and when."""

    outcome: str
    message: str
    at: datetime | None = None


def next_status(request: Request, ended: RunFailure, *, pause: float) -> StatusUpdate:
    """What the request becomes; `pause` seconds after the first attempt, doubled after each."""
    if ended.outcome in FREE:
        return StatusUpdate("requested", max(0, request.attempts - 1), ended.message, FREE_PAUSE)
    if ended.outcome in _NOT_RETRYABLE or request.attempts >= MAX_ATTEMPTS:
        return StatusUpdate("failed", request.attempts, ended.message)
    seconds = min(pause * 2 ** (request.attempts - 1), MAX_PAUSE.total_seconds())
    return StatusUpdate("requested", request.attempts, ended.message, seconds)


def rejection_reason(request: Request) -> str | None:
    """Why no attempt of a request can be made; None when one can. Anyone may write a row."""
    if not is_season(request.season):
        return f"season {request.season} is outside {FIRST_SEASON} to {last_season()}"
    if request.status == "requested" and request.attempts >= MAX_ATTEMPTS:
        return f"its {MAX_ATTEMPTS} attempts are used up; ask for the season anew"
    return None


def due(requests: Iterable[Request], now: datetime, *, max_concurrent: int) -> list[Request]:
    """The requests to begin now, so that at most `max_concurrent` are in the queue or at work."""
    found = list(requests)
    free = max_concurrent - sum(request.status == "running" for request in found)
    waiting = [r for r in found if r.status == "requested" and r.next_attempt_at <= now]
    return waiting[: max(0, free)]


@dataclass(frozen=True)
class CatchUpState:
    """What catch-up has asked for since the last full sync at `since` (ISO, None: never one)."""

    since: str | None
    times: int
    at: datetime | None


def catch_up_backoff(times: int) -> timedelta:
    """The pause after the `times`-th request: 10 minutes, doubled each time, at most 6 hours.

    Before the first one a minute, in which the schedule may make up for its own missed tick.
    """
    if times == 0:
        return timedelta(minutes=1)
    return min(CATCH_UP_PAUSE * (1 << min(times - 1, 20)), MAX_PAUSE)


def catch_up(
    now: datetime, last_synced_at: datetime | None, stale_after: timedelta, asked: CatchUpState
) -> tuple[CatchUpState, str | None]:
    """What has been asked for from now on, and why nothing is asked for now (None: ask)."""
    since = last_synced_at.isoformat() if last_synced_at else None
    if last_synced_at is not None and now - last_synced_at <= stale_after:
        return CatchUpState(
            since, 0, None
        ), f"the last full sync was at {since}, which is not stale"
    if asked.since != since or asked.at is None:
        asked = CatchUpState(since, 0, now)
    next_at = (asked.at or now) + catch_up_backoff(asked.times)
    if now < next_at:
        return asked, f"the catalog is stale; asking for a sync at {next_at:%H:%M:%S} UTC"
    return replace(asked, times=asked.times + 1, at=now), None


def is_orphaned(
    *, started_at: datetime | None, now: datetime, connected: bool, grace_period: float
) -> bool:
    """Whether a run that Dagster calls started has died: it has no connection to the database,
    which it holds from its first second to its last. Those younger than `grace_period` seconds may
    still be connecting.
    """
    if connected or started_at is None:
        return False
    return now - started_at >= timedelta(seconds=grace_period)
