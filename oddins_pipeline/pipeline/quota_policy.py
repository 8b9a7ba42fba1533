"""Whether optional work (backfills, catch-up) may spend a request now.

The daily sync always tries once, and a person may at any time: they do not ask here.
"""

from __future__ import annotations

from dataclasses import dataclass

from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.publish import FULL
from oddins_pipeline.errors import (
    BadRequestError,
    MalformedResponseError,
    PlanError,
    QuotaError,
    RejectedKeyError,
    ResponseRejectedError,
    SubscriptionError,
    SuspendedError,
    UnknownProviderError,
)

HEADROOM_PERCENT = 10
FINAL = tuple(
    error.outcome
    for error in (
        *(RejectedKeyError, SuspendedError, PlanError, QuotaError, SubscriptionError),
        *(BadRequestError, UnknownProviderError, MalformedResponseError),
    )
)
"""Outcomes after which asking again does not help."""

OF_THE_PART = (PlanError.outcome, BadRequestError.outcome)
"""Outcomes that, met by a partial request, say nothing of another."""


@dataclass(frozen=True)
class AccountState:
    """`day_remaining` and `day_limit` as told today (UTC); `failed` is the outcome of the newest
    final failure since the last successful full sync, the guard's refusals included.
    """

    day_remaining: int | None
    day_limit: int | None
    failed: str | None


def blocked_reason(standing: AccountState) -> str | None:
    """Why optional work must wait; None when it may start. No news of today's quota is good news:
    it was given anew at 00:00 UTC.
    """
    if standing.failed is not None:
        return (
            f"the provider's last answer was final ({standing.failed}): optional work waits until"
            " a full sync has succeeded; see `oddins status`"
        )
    left, limit = standing.day_remaining, standing.day_limit
    if left is not None and limit and left * 100 < limit * HEADROOM_PERCENT:
        return (
            f"{left} of the day's {limit} requests are left, less than {HEADROOM_PERCENT} %:"
            " optional work waits until they are given anew at 00:00 UTC"
        )
    return None


def standing(connection: Connection) -> AccountState:
    """How the account stands, by `provider_requests` and `provider_sync_state`."""
    row = connection.execute(
        "WITH told AS ("
        "  SELECT day_remaining, day_limit FROM provider_requests"
        "  WHERE day_remaining IS NOT NULL"
        "  AND requested_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
        "  ORDER BY id DESC LIMIT 1),"
        " succeeded AS ("
        "  SELECT coalesce(max(last_synced_at), '-infinity') AS at FROM provider_sync_state"
        "  WHERE entity = %s),"
        " failed AS ("
        "  SELECT outcome, requested_at AS at FROM provider_requests"
        "  WHERE outcome = ANY(%s) AND path <> '/status'"
        "  AND (params = '{}' OR outcome <> ALL(%s))"
        "  UNION ALL SELECT %s, fetched_at FROM provider_payloads"
        "  WHERE refusal IS NOT NULL AND params = '{}'"
        "  ORDER BY at DESC LIMIT 1)"
        " SELECT (SELECT day_remaining FROM told), (SELECT day_limit FROM told),"
        " (SELECT outcome FROM failed, succeeded WHERE failed.at > succeeded.at)",
        (FULL, list(FINAL), list(OF_THE_PART), ResponseRejectedError.outcome),
    ).fetchone()
    assert row is not None
    return AccountState(*row)  # type: ignore[arg-type]


def background_blocked_reason(connection: Connection) -> str | None:
    """`blocked_reason` to the account's standing now."""
    return blocked_reason(standing(connection))
