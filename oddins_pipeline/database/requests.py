"""`provider_requests`: one row per request, committed before it is sent, completed after.

The limiter, the quota left and the requests used today are queries on it.
"""

# ruff: noqa: S608 - statements are put together from constants of this module

from __future__ import annotations

import json
from dataclasses import astuple
from datetime import datetime
from typing import NamedTuple

from oddins_pipeline.catalog.account import Account, AccountState, Quota
from oddins_pipeline.catalog.entities import Entity
from oddins_pipeline.database.connection import Connection, database_errors, execute_batch, scalar
from oddins_pipeline.errors import FINAL, OF_THE_REQUEST, ResponseRejectedError

_RATE_LOCK = 5_411_207_733_190_244
WINDOW = 60.0
UNCOUNTED = "/status"
"""Costs no quota, and is requested rarely."""

# Counts a request that may be sent now. Three reasons to wait, each until a window after the
# request that gives it: as many as are allowed were sent (interrupted ones too), the newest headers
# left none, or another run, which follows its own Retry-After, met the limit.
_ACQUIRE = """
WITH lately AS (
    SELECT id, requested_at, run_id, outcome, minute_remaining, path <> %(uncounted)s AS counts
    FROM provider_requests
    WHERE requested_at > clock_timestamp() - make_interval(secs => %(window)s)),
allowed AS (
    -- What the newest headers allow. Eight of ten: the recorded suspension came after 14 calls on a
    -- limit of 10.
    SELECT coalesce((
        SELECT greatest(1, minute_limit * 8 / 10) FROM provider_requests
        WHERE minute_limit IS NOT NULL
            AND requested_at > clock_timestamp() - interval '1 day' ORDER BY id DESC LIMIT 1
    ), %(per_minute)s) AS number),
reasons AS (
    (SELECT requested_at FROM lately WHERE counts
     ORDER BY requested_at DESC OFFSET (SELECT number FROM allowed) - 1 LIMIT 1)
    UNION ALL
    (SELECT requested_at FROM (
        SELECT * FROM lately WHERE minute_remaining IS NOT NULL ORDER BY id DESC LIMIT 1) AS newest
     WHERE minute_remaining = 0 AND outcome IS DISTINCT FROM 'rate_limit')
    UNION ALL
    SELECT requested_at FROM lately
    WHERE outcome = 'rate_limit' AND run_id IS DISTINCT FROM %(run_id)s),
pause AS (
    SELECT greatest(0, extract(epoch FROM max(requested_at) + make_interval(secs => %(window)s)
        - clock_timestamp()))::float8 AS seconds
    FROM reasons WHERE %(path)s <> %(uncounted)s),
counted AS (
    INSERT INTO provider_requests (path, params, run_id)
    SELECT %(path)s, %(params)s, %(run_id)s FROM pause WHERE coalesce(seconds, 0) = 0
    RETURNING id)
SELECT (SELECT id FROM counted), coalesce(seconds, 0) FROM pause
"""

# The result of a request.
_COMPLETE = """
UPDATE provider_requests SET completed_at = clock_timestamp(), http_status = %s, outcome = %s,
    day_limit = %s, day_remaining = %s, minute_limit = %s, minute_remaining = %s
WHERE id = %s RETURNING completed_at
"""

# The subscription as reported now.
_SAVE_SUBSCRIPTION = """
INSERT INTO provider_subscription (plan, ends_at, active) VALUES (%s, %s, %s)
ON CONFLICT (only_row) DO UPDATE SET seen_at = clock_timestamp(),
    plan = EXCLUDED.plan, ends_at = EXCLUDED.ends_at, active = EXCLUDED.active
"""


class RequestLog:
    """The log on one autocommit connection; `run_id` marks the rows of a run."""

    def __init__(self, connection: Connection, run_id: str | None, per_minute: int) -> None:
        self._connection = connection
        self._run_id = run_id
        self._per_minute = per_minute

    def try_acquire(self, path: str, params: dict[str, str]) -> tuple[int | None, float]:
        """(row id, 0) when a request may be sent now, else (None, seconds to wait).

        A short transaction-level lock makes the check and the count one step for every process.
        """
        values = {
            "window": WINDOW,
            "per_minute": self._per_minute,
            "uncounted": UNCOUNTED,
            "path": path,
            "params": json.dumps(params),
            "run_id": self._run_id,
        }
        with database_errors():
            *_, ((row_id, pause),) = execute_batch(
                self._connection,
                ("SELECT pg_advisory_xact_lock(%s)", (_RATE_LOCK,)),
                (_ACQUIRE, values),
            )
        return row_id, pause

    def complete(self, row_id: int, *, status: int | None, outcome: str, quota: Quota) -> datetime:
        """Writes the result of the request; returns the server's time."""
        with database_errors():
            values = (status, outcome, *astuple(quota), row_id)
            completed_at: datetime = scalar(self._connection, _COMPLETE, values)
        return completed_at

    def save_subscription(self, account: Account) -> None:
        """Stores when the subscription ends."""
        values = (account.plan, account.ends_at, account.active)
        with database_errors():
            self._connection.execute(_SAVE_SUBSCRIPTION, values)


# The subscription as last reported, and when.
_SUBSCRIPTION = "SELECT plan, ends_at, active, seen_at FROM provider_subscription"

# Whether a request for a path was sent within a day.
_WITHIN_A_DAY = """
SELECT EXISTS (SELECT FROM provider_requests
    WHERE path = %s AND requested_at > clock_timestamp() - interval '1 day')
"""

# The quota by the newest headers.
_LAST_QUOTA = """
SELECT day_remaining, day_limit, requested_at AS seen_at FROM provider_requests
WHERE day_remaining IS NOT NULL ORDER BY id DESC LIMIT 1
"""

_SINCE_MIDNIGHT = "requested_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"

# Requests of today (UTC) that count against the quota.
_USED_TODAY = f"""
SELECT count(*) FROM provider_requests WHERE path <> '{UNCOUNTED}' AND {_SINCE_MIDNIGHT}
"""

# Today's quota, and the newest final failure since an entity's last full sync: of the account,
# of the entity's own requests but for their filters, or of its responses.
_ACCOUNT_STATE = f"""
WITH quota AS (
    SELECT day_remaining, day_limit FROM provider_requests
    WHERE day_remaining IS NOT NULL AND {_SINCE_MIDNIGHT} ORDER BY id DESC LIMIT 1),
succeeded AS (
    SELECT coalesce(max(last_synced_at), '-infinity') AS at FROM provider_sync_state
    WHERE entity = %(entity)s),
failed AS (
    SELECT outcome, requested_at AS at FROM provider_requests
    WHERE outcome = ANY(%(final)s) AND path = %(path)s
        AND (params = '{{}}' OR outcome <> ALL(%(of_the_request)s))
    UNION ALL
    SELECT %(rejected)s, fetched_at FROM provider_payloads
    WHERE refusal IS NOT NULL AND params = '{{}}' AND entity = %(entity)s
    ORDER BY at DESC LIMIT 1)
SELECT (SELECT day_remaining FROM quota), (SELECT day_limit FROM quota),
    (SELECT outcome FROM failed, succeeded WHERE failed.at > succeeded.at)
"""


class SeenQuota(NamedTuple):
    """The day's quota as last reported by the provider."""

    day_remaining: int
    day_limit: int | None
    seen_at: datetime


def load_subscription(connection: Connection) -> tuple[Account, datetime] | None:
    """The subscription as last reported, and when."""
    row = connection.execute(_SUBSCRIPTION).fetchone()
    if row is None:
        return None
    plan, ends_at, active, seen_at = row
    return Account(plan, ends_at, active), seen_at


def requested_within_a_day(connection: Connection, path: str) -> bool:
    """Whether a request for `path` was sent within the last day, whatever its result."""
    return bool(scalar(connection, _WITHIN_A_DAY, (path,)))


def last_quota(connection: Connection) -> SeenQuota | None:
    """The quota as last reported; None when the provider never did."""
    row = connection.execute(_LAST_QUOTA).fetchone()
    return SeenQuota(*row) if row else None


def requests_today(connection: Connection) -> int:
    """How many requests were sent today (UTC) from this database."""
    return int(scalar(connection, _USED_TODAY))


def load_account_state(connection: Connection, entity: Entity) -> AccountState:
    """The account as `provider_requests` and the entity's sync state show it."""
    row = connection.execute(
        _ACCOUNT_STATE,
        {
            "entity": entity.name,
            "path": entity.path,
            "final": list(FINAL),
            "of_the_request": list(OF_THE_REQUEST),
            "rejected": ResponseRejectedError.code,
        },
    ).fetchone()
    assert row is not None
    return AccountState(*row)
