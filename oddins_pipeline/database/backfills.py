"""`backfill_requests`: the seasons to fetch, and what became of each request.

requested → running → done, set by the transaction that publishes the season; or back to
requested with a pause, or failed: see `pipeline.backfill_policy`.
"""

# ruff: noqa: S608 - columns are named in a constant

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row

from oddins_pipeline.database.connection import Connection

MAX_ATTEMPTS = 5

Status = Literal["requested", "running", "done", "failed"]


@dataclass(frozen=True)
class Request:
    """One open row: `attempts` counts those that were begun and sent a request."""

    id: int
    season: int
    status: Status
    attempts: int
    next_attempt_at: datetime
    error: str | None = None

    def shown(self) -> dict[str, Any]:
        """What a user sees of it."""
        return {name: value for name, value in vars(self).items() if name != "id"}


@dataclass(frozen=True)
class StatusUpdate:
    """What a request becomes when its attempt has ended without publishing."""

    status: Status
    attempts: int
    error: str
    pause_seconds: float = 0.0


_COLUMNS = "id, season, status, attempts, next_attempt_at, error"

# Request seasons that have no open request yet.
_ADD = """
INSERT INTO backfill_requests (season) SELECT unnest(%s::integer[])
ON CONFLICT (season) WHERE status IN ('requested', 'running') DO NOTHING
RETURNING season
"""

# Every request that is neither done, failed nor parked at infinity, the one due first in front.
_OPEN = f"""
SELECT {_COLUMNS} FROM backfill_requests
WHERE status IN ('requested', 'running') AND isfinite(next_attempt_at)
ORDER BY next_attempt_at, id
"""

# Begin an attempt unless another process was first.
_CLAIM = f"""
UPDATE backfill_requests SET status = 'running', attempts = attempts + 1, run_id = NULL,
    next_attempt_at = clock_timestamp()
WHERE id = %s AND status = 'requested' AND next_attempt_at = %s
RETURNING {_COLUMNS}
"""

# The result of an ended attempt; a request that was done meanwhile stays done.
_UPDATE_STATUS = """
UPDATE backfill_requests SET status = %s, attempts = %s, error = %s,
    next_attempt_at = now() + make_interval(secs => %s)
WHERE id = %s AND status = %s AND next_attempt_at = %s
"""

# Name the run that works on a request.
_ATTACH_RUN = "UPDATE backfill_requests SET run_id = %s WHERE id = %s AND status = 'running'"

# The season is published: every open request for it is done.
_MARK_DONE = """
UPDATE backfill_requests SET status = 'done', run_id = %s, error = NULL
WHERE season = %s AND status IN ('requested', 'running')
"""


def add(connection: Connection, seasons: Sequence[int]) -> set[int]:
    """Requests these seasons; returns those that had no open request yet."""
    return {season for (season,) in connection.execute(_ADD, (list(seasons),))}


def open_requests(connection: Connection) -> list[Request]:
    """Every open request; the one due first in front."""
    with connection.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(_OPEN).fetchall()


def claim(connection: Connection, request: Request) -> Request | None:
    """Begins an attempt; None when another process was first. The time of the claim identifies the
    attempt, as `next_attempt_at`, until it has ended.
    """
    with connection.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(_CLAIM, (request.id, request.next_attempt_at)).fetchone()


def update_status(connection: Connection, request: Request, update: StatusUpdate) -> None:
    """Writes what an ended attempt leads to."""
    of_request = (request.id, request.status, request.next_attempt_at)
    values = (update.status, update.attempts, update.error, update.pause_seconds)
    connection.execute(_UPDATE_STATUS, (*values, *of_request))


def attach_run(connection: Connection, request_id: int, run_id: str) -> bool:
    """Names the run that works on a request; False when the request is no longer open."""
    return connection.execute(_ATTACH_RUN, (run_id, request_id)).rowcount == 1


def mark_done(connection: Connection, season: int, run_id: str | None) -> None:
    """Closes the requests for a season; part of the publishing transaction."""
    connection.execute(_MARK_DONE, (run_id, season))
