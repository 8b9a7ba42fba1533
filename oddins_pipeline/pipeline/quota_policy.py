"""Whether background requests (backfill, catch-up) may be sent now.

The daily sync always tries once, and a user may at any time: neither asks here.
"""

from __future__ import annotations

from oddins_pipeline.catalog.account import AccountState
from oddins_pipeline.catalog.entities import Entity
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.requests import load_account_state

HEADROOM_PERCENT = 10


def blocked_reason(state: AccountState) -> str | None:
    """Why background requests must wait; None when they may be sent.

    Without quota headers today, assume a full quota: it resets at 00:00 UTC.
    """
    if state.failed is not None:
        return (
            f"the last request failed for good ({state.failed}): background requests are blocked"
            " until a full sync succeeds; see `oddins status`"
        )
    left, limit = state.day_remaining, state.day_limit
    if left is not None and limit and left * 100 < limit * HEADROOM_PERCENT:
        return (
            f"{left} of the day's {limit} requests are left, less than {HEADROOM_PERCENT} %:"
            " background requests are blocked until the quota resets at 00:00 UTC"
        )
    return None


def background_blocked_reason(connection: Connection, entity: Entity) -> str | None:
    """`blocked_reason` for the account's state now, as far as it concerns the entity."""
    return blocked_reason(load_account_state(connection, entity))
