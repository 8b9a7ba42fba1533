"""Alerts that no run raises: a stale catalog, and a subscription that ends."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.requests import (
    UNCOUNTED,
    load_subscription,
    requested_within_a_day,
)
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.pipeline.notifications import notify
from oddins_pipeline.pipeline.session import request_account
from oddins_pipeline.pipeline.staleness import is_stale, stale_after


@dataclass(frozen=True)
class AlertState:
    """What has been reported: the last sync of a stale catalog, and the day on which the
    subscription's end was reported.
    """

    stale_since: str | None = None
    subscription_day: str | None = None


def send_alerts(
    settings: Settings,
    state: AlertState,
    *,
    last_synced_at: datetime | None,
    subscription: str | None,
    now: datetime | None = None,
) -> AlertState:
    """One notification for each period of staleness, and one a day while the subscription ends.

    `last_synced_at` is the last full sync's; `subscription` the text of `subscription_warning`. A
    notification that could not be sent is retried at the next call.
    """
    now = now or datetime.now(timezone.utc)
    if last_synced_at is not None and is_stale(last_synced_at, stale_after(settings, LEAGUES), now):
        since = last_synced_at.isoformat()
        message = (
            "the catalog is stale: the last full sync succeeded at"
            f" {last_synced_at:%Y-%m-%d %H:%M} UTC; see `oddins status` and `oddins doctor`"
        )
        if since != state.stale_since and notify(settings, "catalog_stale", message):
            state = replace(state, stale_since=since)
    day = f"{now:%Y-%m-%d}"
    due = subscription is not None and day != state.subscription_day
    if due and notify(settings, "subscription_ending", str(subscription)):
        state = replace(state, subscription_day=day)
    return state


def subscription_warning(
    connection: Connection, workspace: Workspace, *, may_request: bool
) -> str | None:
    """The warning of a subscription that ends; None when it does not, or is not known.

    With a webhook to notify, `/status`, which costs no quota, is requested once a day.
    """
    settings = workspace.settings
    wanted = settings.webhook_url is not None and settings.api_key is not None
    if (
        wanted
        and may_request
        and not workspace.target.sample
        and not requested_within_a_day(connection, UNCOUNTED)
    ):
        # Its row in provider_requests has the result, and tomorrow it is requested again.
        with suppress(ProviderError):
            request_account(workspace, connection, timeout=5)
    known = load_subscription(connection)
    return warning(known[0], days=settings.subscription_warning_days) if known else None
