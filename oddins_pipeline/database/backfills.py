"""`backfill_requests`: the seasons that somebody wants fetched, and what became of each wish.

requested → running → done, set by the transaction that publishes the season; or back to
requested with a pause, or failed: see `orchestration.decisions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from oddins_pipeline.database.connection import Connection

MAX_ATTEMPTS = 5

Status = Literal["requested", "running", "done", "failed"]


@dataclass(frozen=True)
class Request:
    """One open row: `attempts` counts those that were begun and cost something."""

    id: int
    season: int
    status: Status
    attempts: int
    next_attempt_at: datetime


@dataclass(frozen=True)
class StatusUpdate:
    """What a request becomes when its attempt has ended without publishing."""

    status: Status
    attempts: int
    error: str
    pause_seconds: float = 0.0


def add(connection: Connection, seasons: Sequence[int]) -> set[int]:
    """Asks for these seasons; returns those that had no open request yet."""
    rows = connection.execute(
        "INSERT INTO backfill_requests (season) SELECT unnest(%s::integer[])"
        " ON CONFLICT (season) WHERE status IN ('requested', 'running') DO NOTHING"
        " RETURNING season",
        (list(seasons),),
    )
    return {int(str(season)) for (season,) in rows}


def open_requests(connection: Connection) -> list[Request]:
    """Every request that is neither done, failed nor parked at infinity; the one due first in
    front.
    """
    with connection.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(
            "SELECT id, season, status, attempts, next_attempt_at FROM backfill_requests"
            " WHERE status IN ('requested', 'running') AND isfinite(next_attempt_at)"
            " ORDER BY next_attempt_at, id"
        ).fetchall()


def claim(connection: Connection, request: Request) -> Request | None:
    """Begins an attempt; None when somebody else was first. The moment of the claim names the
    attempt, as `next_attempt_at`, until that is settled.
    """
    with connection.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(
            "UPDATE backfill_requests SET status = 'running', attempts = attempts + 1,"
            " run_id = NULL, next_attempt_at = clock_timestamp()"
            " WHERE id = %s AND status = 'requested' AND next_attempt_at = %s"
            " RETURNING id, season, status, attempts, next_attempt_at",
            (request.id, request.next_attempt_at),
        ).fetchone()


def update_status(connection: Connection, request: Request, settled: StatusUpdate) -> None:
    """Writes what an ended attempt leads to; a request that was done meanwhile stays done."""
    connection.execute(
        "UPDATE backfill_requests SET status = %s, attempts = %s, error = %s,"
        " next_attempt_at = now() + make_interval(secs => %s)"
        " WHERE id = %s AND status = %s AND next_attempt_at = %s",
        (
            settled.status,
            settled.attempts,
            settled.error,
            settled.pause_seconds,
            request.id,
            request.status,
            request.next_attempt_at,
        ),
    )


def attach_run(connection: Connection, request_id: int, run_id: str) -> bool:
    """Names the run that is at work on a request; False when the request is no longer open."""
    noted = connection.execute(
        "UPDATE backfill_requests SET run_id = %s WHERE id = %s AND status = 'running'",
        (run_id, request_id),
    )
    return noted.rowcount == 1


def mark_done(connection: Connection, season: int, run_id: str | None) -> None:
    """The season is published: whoever asked for it has it. Part of the publishing transaction."""
    connection.execute(
        "UPDATE backfill_requests SET status = 'done', run_id = %s, error = NULL"
        " WHERE season = %s AND status IN ('requested', 'running')",
        (run_id, season),
    )
