"""What becomes of a backfill request: pure functions over plain values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from oddins_pipeline.catalog.season_range import FIRST_SEASON, is_season, last_season
from oddins_pipeline.database.backfills import MAX_ATTEMPTS, Request, StatusUpdate
from oddins_pipeline.errors import NO_ATTEMPT, OF_THE_REQUEST, LaunchError
from oddins_pipeline.pipeline.failures import RunFailure

NO_ATTEMPT_PAUSE = 60.0
MAX_PAUSE = 6 * 3600.0


def next_status(request: Request, failure: RunFailure, *, pause: float) -> StatusUpdate:
    """What the request becomes; `pause` seconds after the first attempt, doubled after each."""
    message = failure.message
    if failure.code in NO_ATTEMPT:
        # A launch that fails is an event each time, unlike the others.
        seconds = pause if failure.code == LaunchError.code else NO_ATTEMPT_PAUSE
        return StatusUpdate("requested", max(0, request.attempts - 1), message, seconds)
    if failure.code in OF_THE_REQUEST or request.attempts >= MAX_ATTEMPTS:
        return StatusUpdate("failed", request.attempts, message)
    seconds = min(pause * 2 ** (request.attempts - 1), MAX_PAUSE)
    return StatusUpdate("requested", request.attempts, message, seconds)


def rejection_reason(request: Request) -> str | None:
    """Why no attempt can be made; None when one can. Anyone may insert a row."""
    if not is_season(request.season):
        return f"season {request.season} is outside {FIRST_SEASON} to {last_season()}"
    if request.status == "requested" and request.attempts >= MAX_ATTEMPTS:
        return f"its {MAX_ATTEMPTS} attempts are used up; request the season again"
    return None


def due(requests: Iterable[Request], now: datetime, *, max_concurrent: int) -> list[Request]:
    """The requests to begin now, so that at most `max_concurrent` are queued or running."""
    found = list(requests)
    free = max_concurrent - sum(request.status == "running" for request in found)
    waiting = [r for r in found if r.status == "requested" and r.next_attempt_at <= now]
    return waiting[: max(0, free)]
