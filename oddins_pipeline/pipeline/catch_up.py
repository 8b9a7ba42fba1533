"""When the catch-up sensor requests a full sync of a stale catalog: a pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from oddins_pipeline.pipeline.staleness import is_stale

FIRST_PAUSE = timedelta(minutes=10)
MAX_PAUSE = timedelta(hours=6)


@dataclass(frozen=True)
class CatchUpState:
    """What catch-up has requested since the last full sync at `since`, and when (both ISO)."""

    since: str | None = None
    times: int = 0
    at: str | None = None


def catch_up_backoff(times: int) -> timedelta:
    """The pause after the `times`-th request: 10 minutes, doubled each time, at most 6 hours.

    Before the first one a minute, in which the schedule may make up for its own missed tick.
    """
    if times == 0:
        return timedelta(minutes=1)
    return min(FIRST_PAUSE * (1 << min(times - 1, 20)), MAX_PAUSE)


def catch_up(
    now: datetime, last_synced_at: datetime | None, limit: timedelta, state: CatchUpState
) -> tuple[CatchUpState, str | None]:
    """The next state, and why no sync is requested now (None: request one)."""
    since = last_synced_at.isoformat() if last_synced_at else None
    if not is_stale(last_synced_at, limit, now):
        return CatchUpState(since, 0, None), f"the last full sync was at {since}, not stale"
    if state.since != since or state.at is None:
        state = CatchUpState(since, 0, now.isoformat())
    assert state.at is not None
    next_at = datetime.fromisoformat(state.at) + catch_up_backoff(state.times)
    if now < next_at:
        return state, f"the catalog is stale; requesting a sync at {next_at:%H:%M:%S} UTC"
    return replace(state, times=state.times + 1, at=now.isoformat()), None
