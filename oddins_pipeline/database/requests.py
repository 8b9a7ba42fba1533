"""`provider_requests`: one row per request, committed before it is sent, completed after.

The limiter, "quota left, seen when" and "what did we spend" are queries on it.
"""

from __future__ import annotations

import json
from datetime import datetime

from oddins_pipeline.catalog.account import Account, Quota
from oddins_pipeline.database.connection import Connection, database_errors

_RATE_LOCK = 5_411_207_733_190_244
WINDOW = 60.0
UNCOUNTED = "/status"
"""Costs no quota, and is asked rarely."""

# Three reasons to wait, each until a window after the request that gives it: as many as are
# allowed were sent (interrupted ones too), the newest headers left none, or another run, whose
# Retry-After is its own affair, met the limit.
_WAIT = """
WITH lately AS (
    SELECT id, requested_at, run_id, outcome, minute_remaining, path <> %(uncounted)s AS counts
    FROM provider_requests
    WHERE requested_at > clock_timestamp() - make_interval(secs => %(window)s)),
reasons AS (
    (SELECT requested_at FROM lately WHERE counts
     ORDER BY requested_at DESC OFFSET %(allowed)s - 1 LIMIT 1)
    UNION ALL
    (SELECT requested_at FROM (
        SELECT * FROM lately WHERE minute_remaining IS NOT NULL ORDER BY id DESC LIMIT 1) AS told
     WHERE minute_remaining = 0 AND outcome IS DISTINCT FROM 'rate_limit')
    UNION ALL
    SELECT requested_at FROM lately
    WHERE outcome = 'rate_limit' AND run_id IS DISTINCT FROM %(run_id)s)
SELECT extract(epoch FROM max(requested_at) + make_interval(secs => %(window)s)
    - clock_timestamp()) FROM reasons
"""


class RequestLog:
    """The log on one autocommit connection; `run_id` marks the rows of a run."""

    def __init__(self, connection: Connection, run_id: str | None, per_minute: int) -> None:
        self._connection = connection
        self._run_id = run_id
        self._per_minute = per_minute

    def try_acquire(self, path: str, params: dict[str, str]) -> tuple[int | None, float]:
        """(row id, 0) when a request may be sent now, else (None, seconds to wait).

        A short transaction-level lock makes asking and counting one step for every process.
        """
        with database_errors(), self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_RATE_LOCK,))
            wait = 0.0 if path == UNCOUNTED else self._seconds_to_wait()
            if wait > 0:
                return None, wait
            row = self._connection.execute(
                "INSERT INTO provider_requests (path, params, run_id) VALUES (%s, %s, %s)"
                " RETURNING id",
                (path, json.dumps(params), self._run_id),
            ).fetchone()
        assert row is not None
        return int(str(row[0])), 0.0

    def _seconds_to_wait(self) -> float:
        row = self._connection.execute(
            _WAIT,
            {
                "window": WINDOW,
                "allowed": self._allowed(),
                "run_id": self._run_id,
                "uncounted": UNCOUNTED,
            },
        ).fetchone()
        return max(0.0, float(str(row[0]))) if row and row[0] is not None else 0.0

    def _allowed(self) -> int:
        """Requests a minute: what the headers allow, less a fifth, once they have told."""
        row = self._connection.execute(
            "SELECT minute_limit FROM provider_requests WHERE minute_limit IS NOT NULL"
            " AND requested_at > clock_timestamp() - interval '1 day' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        # Eight of ten: the recorded suspension came after 14 calls on a limit of 10.
        return max(1, int(str(row[0])) * 8 // 10) if row else self._per_minute

    def complete(self, row_id: int, *, status: int | None, outcome: str, quota: Quota) -> None:
        """Writes what became of the request."""
        with database_errors():
            self._connection.execute(
                "UPDATE provider_requests SET completed_at = clock_timestamp(), http_status = %s,"
                " outcome = %s, day_limit = %s, day_remaining = %s, minute_limit = %s,"
                " minute_remaining = %s WHERE id = %s",
                (
                    status,
                    outcome,
                    quota.day_limit,
                    quota.day_remaining,
                    quota.minute_limit,
                    quota.minute_remaining,
                    row_id,
                ),
            )

    def save_subscription(self, account: Account) -> None:
        """Keeps when the subscription ends, as told just now."""
        with database_errors():
            self._connection.execute(
                "INSERT INTO provider_subscription (plan, ends_at, active) VALUES (%s, %s, %s)"
                " ON CONFLICT (only_row) DO UPDATE SET seen_at = clock_timestamp(),"
                " plan = EXCLUDED.plan, ends_at = EXCLUDED.ends_at, active = EXCLUDED.active",
                (account.plan, account.ends_at, account.active),
            )


def load_subscription(connection: Connection) -> tuple[Account, datetime] | None:
    """The subscription as last told, and when."""
    row = connection.execute(
        "SELECT plan, ends_at, active, seen_at FROM provider_subscription"
    ).fetchone()
    if row is None:
        return None
    plan, ends_at, active, seen_at = row
    return Account(plan, ends_at, bool(active)), seen_at  # type: ignore[arg-type,return-value]


def requested_within_a_day(connection: Connection, path: str) -> bool:
    """Whether a request for `path` was sent within the last day, whatever became of it."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM provider_requests WHERE path = %s"
        " AND requested_at > clock_timestamp() - interval '1 day')",
        (path,),
    ).fetchone()
    return bool(row and row[0])


def last_quota(connection: Connection) -> tuple[int | None, int | None, object] | None:
    """(day_remaining, day_limit, seen when) as last told by the provider."""
    row = connection.execute(
        "SELECT day_remaining, day_limit, requested_at FROM provider_requests"
        " WHERE day_remaining IS NOT NULL ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return (row[0], row[1], row[2]) if row else None  # type: ignore[return-value]
