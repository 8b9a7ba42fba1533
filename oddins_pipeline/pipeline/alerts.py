"""Events that no run raises: a stale catalog, and a subscription that ends."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.catalog.events import FRESH, STALE, SUBSCRIPTION_ENDING
from oddins_pipeline.catalog.lists import ENTITIES
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import events, receivers
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.requests import (
    UNCOUNTED,
    load_subscription,
    requested_within_a_day,
)
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.pipeline.session import request_account
from oddins_pipeline.pipeline.staleness import is_stale, stale_after


def add_alerts(
    connection: Connection,
    workspace: Workspace,
    synced: Mapping[str, datetime | None],
    now: datetime,
    *,
    may_request: bool,
) -> None:
    """One event for each period of staleness of an entity, by the times of their last full syncs
    and the server's, and one a day while the subscription ends.
    """
    for entity in ENTITIES:
        at = synced[entity.name]
        if at is not None and is_stale(at, stale_after(workspace.settings, entity), now):
            text = (
                f"the catalog's {entity.label} are stale: the last full sync succeeded at"
                f" {at:%Y-%m-%d %H:%M} UTC; see `oddins status` and `oddins doctor`"
            )
            facts = {"last_synced_at": at.isoformat()}
            stale = events.writing(STALE, text, entity.name, facts, after=[FRESH], first=True)
            events.add(connection, stale)
    ending = subscription_warning(connection, workspace, may_request=may_request)
    if ending is not None:
        events.add(connection, events.writing(SUBSCRIPTION_ENDING, ending, None, {}, daily=True))


def subscription_warning(
    connection: Connection, workspace: Workspace, *, may_request: bool
) -> str | None:
    """The warning of a subscription that ends; None when it does not, or is not known.

    Where there is a receiver, `/status`, which costs no quota, is requested once a day.
    """
    settings = workspace.settings
    if (
        receivers.load(connection, settings)
        and may_request
        and settings.api_key is not None
        and not workspace.target.sample
        and not requested_within_a_day(connection, UNCOUNTED)
    ):
        # Its row in provider_requests has the result, and tomorrow it is requested again.
        with suppress(ProviderError):
            request_account(workspace, connection, timeout=5)
    known = load_subscription(connection)
    return warning(known[0], days=settings.subscription_warning_days) if known else None
