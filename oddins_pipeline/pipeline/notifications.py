"""One JSON message to ODDINS_WEBHOOK_URL when a person should look: never in a sync's way.

It is sent after the failure is recorded and the lock is given back, within a few seconds, and
what goes wrong with it is a line in the log. The address is a secret: such addresses carry tokens.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
)

from oddins_pipeline import __version__
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.logs import sanitize

logger = logging.getLogger(__name__)

# At INFO it prints whole addresses; this process's other requests carry no secret in theirs.
logging.getLogger("httpx").setLevel(logging.WARNING)

Event = Literal["sync_failed", "answer_refused", "catalog_stale", "subscription_ending"]

ATTEMPTS = 3
ATTEMPT_SECONDS = 3.0
ALL_SECONDS = 8.0
PASSING = {408, 425, 429}
"""Statuses that ask to come again, beside those from 500 up."""


class WebhookError(Exception):
    """The receiver did not take the message."""


class RetryableWebhookError(WebhookError):
    """Another attempt may fare better."""


def notify(settings: Settings, event: Event, message: str, **facts: Any) -> bool:
    """Sends one message; True when the receiver took it.

    Never raises. At most ALL_SECONDS plus one attempt. Without an address nothing is sent.
    """
    if settings.webhook_url is None:
        return False
    body = {
        "event": event,
        "message": sanitize(message),
        "app_env": settings.app_env,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "software_version": __version__,
        **{key: sanitize(v) if isinstance(v, str) else v for key, v in facts.items()},
    }
    try:
        _send(settings.webhook_url.get_secret_value(), body)
    except Exception as error:  # noqa: BLE001 - a notice must not become a failure of its own
        # An error of the transport may quote the address.
        reason = str(error) if isinstance(error, WebhookError) else type(error).__name__
        logger.warning("the notice could not be sent", extra={"event": event, "reason": reason})
        return False
    logger.info("notice sent", extra={"event": event})
    return True


def _send(url: str, body: dict[str, Any]) -> None:
    retrying = Retrying(
        retry=retry_if_exception_type((httpx.TransportError, RetryableWebhookError)),
        stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(ALL_SECONDS),
        wait=wait_exponential(multiplier=0.5, max=2),
        reraise=True,
    )
    # Redirects are not followed: the address would travel to another host.
    with httpx.Client(timeout=ATTEMPT_SECONDS, follow_redirects=False) as client:
        retrying(_post, client, url, body)


def _post(client: httpx.Client, url: str, body: dict[str, Any]) -> None:
    """Streams, so that a receiver that never stops talking cannot hold the process."""
    with client.stream("POST", url, json=body) as response:
        if response.is_success:
            return
        passing = response.is_server_error or response.status_code in PASSING
        kind = RetryableWebhookError if passing else WebhookError
        raise kind(f"the receiver answers HTTP {response.status_code}")


def notify_failure(settings: Settings, message: str, *, outcome: str, **facts: Any) -> bool:
    """A run has failed: `outcome` as in `errors`."""
    event: Event = "answer_refused" if outcome == "refused" else "sync_failed"
    return notify(settings, event, message, outcome=outcome, **facts)


@dataclass(frozen=True)
class AlertState:
    """What has been told of, for the next look: a stale catalog's last sync, and the day on
    which the subscription's end was told of.
    """

    stale_since: str | None = None
    subscription_day: str | None = None


def send_alerts(
    settings: Settings,
    told: AlertState,
    *,
    last_synced_at: datetime | None,
    subscription: str | None,
    now: datetime | None = None,
) -> AlertState:
    """One message for each period of staleness, and one a day while the subscription ends.

    `last_synced_at` is the last full sync's; `subscription` the text of
    `provider.account.warning`. A message that could not be sent is tried at the next look.
    """
    now = now or datetime.now(timezone.utc)
    stale_after = timedelta(hours=settings.stale_after_hours)
    if last_synced_at is not None and now - last_synced_at > stale_after:
        since = last_synced_at.isoformat()
        message = (
            "the catalog is stale: the last full sync succeeded at"
            f" {last_synced_at:%Y-%m-%d %H:%M} UTC; see `oddins status` and `oddins doctor`"
        )
        if since != told.stale_since and notify(settings, "catalog_stale", message):
            told = replace(told, stale_since=since)
    day = f"{now:%Y-%m-%d}"
    due = subscription is not None and day != told.subscription_day
    if due and notify(settings, "subscription_ending", str(subscription)):
        told = replace(told, subscription_day=day)
    return told
