"""Sends one event to one receiver: signed JSON, within seconds, quoting nothing of its address."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from oddins_pipeline import __version__
from oddins_pipeline.catalog.events import Event
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.errors import TransportError
from oddins_pipeline.provider.transport import post_json

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
ATTEMPT_TIMEOUT = 3.0
RETRYABLE = {408, 425, 429}
"""Statuses after which a retry may succeed at once, beside those from 500 up."""

_FIRST_SERVER_ERROR = 500


class WebhookError(Exception):
    """The receiver did not accept the message; `status` is its response's, if there was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def send(settings: Settings, url: str, secret: str | None, event: Event) -> None:
    """One attempt, signed when there is a secret. Raises WebhookError."""
    body = event.body(app_env=settings.app_env, software_version=__version__)
    headers = {"content-type": "application/json", **signature(secret, event.id, body)}
    try:
        status = post_json(url, body, headers, timeout=ATTEMPT_TIMEOUT)
    except TransportError as error:
        raise WebhookError(error.cause) from None
    if not 200 <= status < 300:  # noqa: PLR2004
        raise WebhookError(f"the receiver responded with HTTP {status}", status)


def signature(secret: str | None, identifier: str, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks; none without a secret."""
    if secret is None:
        return {}
    from standardwebhooks import Webhook

    now = datetime.now(timezone.utc)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identifier, now, body.decode()),
    }


def default_address(settings: Settings) -> tuple[str, str | None] | None:
    """ODDINS_WEBHOOK_URL and its secret; None when it is not set."""
    if settings.webhook_url is None:
        return None
    secret = settings.webhook_secret
    return settings.webhook_url.get_secret_value(), secret.get_secret_value() if secret else None


def notify(settings: Settings, event: Event) -> bool:
    """Sends an event to ODDINS_WEBHOOK_URL at once; True when it was accepted. Never raises."""
    to = default_address(settings)
    if to is None:
        return False
    retrying = Retrying(
        retry=retry_if_exception(_is_retryable),
        stop=stop_after_attempt(MAX_ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=2),
        reraise=True,
    )
    try:
        retrying(send, settings, *to, event)
    except WebhookError as error:
        extra = {"event": event.type, "reason": str(error)}
        logger.warning("the notification could not be sent", extra=extra)
        return False
    logger.info("notification sent", extra={"event": event.type})
    return True


def _is_retryable(error: BaseException) -> bool:
    if not isinstance(error, WebhookError):
        return False
    return error.status is None or (
        error.status >= _FIRST_SERVER_ERROR or error.status in RETRYABLE
    )
