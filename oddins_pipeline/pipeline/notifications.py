"""Sends one event to one receiver: signed JSON, within seconds, quoting nothing of its address."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from oddins_pipeline import __version__
from oddins_pipeline.catalog.events import Event
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.receivers import Receiver
from oddins_pipeline.errors import TransportError, WebhookError
from oddins_pipeline.provider.transport import post_json
from oddins_pipeline.urls import check_webhook_secret

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
ATTEMPT_TIMEOUT = 3.0
RETRYABLE = {None, 408, 425, 429, *range(500, 600)}
"""After these a retry may succeed at once; None is no response."""


def send(settings: Settings, receiver: Receiver, event: Event) -> None:
    """One attempt, signed when there is a secret. Raises WebhookError."""
    if receiver.url is None:
        raise WebhookError(f"{receiver.name} is not set")
    body = event.body(app_env=settings.app_env, software_version=__version__)
    try:
        signed = signature(receiver.secret, event.id, body)
        headers = {"content-type": "application/json", **signed}
        status = post_json(receiver.url, body, headers, timeout=ATTEMPT_TIMEOUT)
    except TransportError as error:
        raise WebhookError(error.cause) from None
    except ValueError as error:
        raise WebhookError(f"its signing secret {error}; remove and add the receiver") from None
    if not 200 <= status < 300:  # noqa: PLR2004
        raise WebhookError(f"the receiver responded with HTTP {status}", status)


def signature(secret: str | None, identifier: str, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks; none without a secret. Raises ValueError."""
    if not secret:
        return {}
    check_webhook_secret(secret)
    from standardwebhooks import Webhook

    now = datetime.now(timezone.utc)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identifier, now, body.decode()),
    }


def notify(settings: Settings, to: Sequence[Receiver], found: Sequence[Event]) -> None:
    """Sends events at once, without the sensor, to every receiver that is not suspended: best
    effort, in seconds. Never raises.
    """
    with ThreadPoolExecutor() as pool:
        for one in to:
            if one.url and not one.suspended_at:
                pool.submit(_notify, settings, one, found)


def _notify(settings: Settings, receiver: Receiver, found: Sequence[Event]) -> None:
    retrying = Retrying(
        retry=retry_if_exception(lambda e: isinstance(e, WebhookError) and e.status in RETRYABLE),
        stop=stop_after_attempt(MAX_ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=2),
        reraise=True,
    )
    for event in found:
        facts = {"event": event.type, "receiver": receiver.name}
        try:
            retrying(send, settings, receiver, event)
        except WebhookError as error:
            reason = {"reason": str(error)}
            logger.warning("the notification could not be sent", extra=facts | reason)
            return
        logger.info("notification sent", extra=facts)
