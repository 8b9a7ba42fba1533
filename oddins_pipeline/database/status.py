"""What `oddins status` tells: the sync's state, row counts and quota, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from psycopg.rows import dict_row

from oddins_pipeline.database.connection import Connection, database_errors
from oddins_pipeline.database.publish import FULL, TABLES


@dataclass(frozen=True)
class Health:
    """Whether the catalog can be trusted today, with a reason for each no."""

    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


def report(connection: Connection) -> dict[str, Any]:
    """Sync states, row counts (listed and delisted), quota, and the backfills asked for."""
    with database_errors(), connection.cursor(row_factory=dict_row) as cursor:
        states = cursor.execute(
            "SELECT p.name AS source, s.entity, s.last_synced_at, s.cursor, s.last_error_at,"
            " s.last_error, s.last_error_at > coalesce(s.last_synced_at, '-infinity') AS failing"
            " FROM provider_sync_state s JOIN provider_sources p ON p.id = s.source_id"
            " ORDER BY s.entity"
        ).fetchall()
        rows: dict[str, dict[str, int]] = {}
        for table in TABLES:
            listed = "true" if table == "season_coverage" else "delisted_at IS NULL"
            found = cursor.execute(
                f"SELECT count(*) AS rows, count(*) FILTER (WHERE {listed}) AS listed FROM {table}"  # noqa: S608 - one of four names
            ).fetchone()
            rows[table] = dict(found or {})
        quota = cursor.execute(
            "SELECT day_remaining, day_limit, requested_at AS seen_at FROM provider_requests"
            " WHERE day_remaining IS NOT NULL ORDER BY id DESC LIMIT 1"
        ).fetchone()
        spent = cursor.execute(
            "SELECT count(*) AS requests FROM provider_requests WHERE path <> '/status'"
            " AND requested_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
        ).fetchone()
        backfills = cursor.execute(
            "SELECT season, status, attempts, next_attempt_at, error FROM backfill_requests"
            " WHERE status IN ('requested', 'running') AND isfinite(next_attempt_at)"
            " ORDER BY next_attempt_at, id"
        ).fetchall()
    return {
        "sync": states,
        "rows": rows,
        "quota": quota,
        "requests_today": spent["requests"] if spent else 0,
        "backfills_pending": backfills,
    }


def health(found: dict[str, Any], *, stale_after: timedelta, now: datetime | None = None) -> Health:
    """Stale when the last full sync is older than `stale_after`; failing by the sync state. A full
    sync makes up for a partial one that failed before it.
    """
    now = now or datetime.now(timezone.utc)
    full = next((state for state in found["sync"] if state["entity"] == FULL), None)
    synced_at = full["last_synced_at"] if full else None
    problems = []
    if synced_at is None:
        problems.append("no full sync has succeeded yet; run `oddins sync leagues`")
    elif now - synced_at > stale_after:
        hours = (now - synced_at).total_seconds() / 3600
        problems.append(f"stale: the last full sync is {hours:.0f} h old; see `oddins doctor`")
    problems += [
        f"failing: {state['entity']}: {state['last_error']}"
        for state in found["sync"]
        if state["failing"] and not (synced_at and state["last_error_at"] < synced_at)
    ]
    return Health(tuple(problems))
