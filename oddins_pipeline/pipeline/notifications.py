"""One JSON message to ODDINS_WEBHOOK_URL when an operator should look; it never delays a sync.

It is sent after the failure is recorded and the lock is released, within a few seconds; a failed
delivery is a log line. The address is a secret: such addresses carry tokens.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any, Literal

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
)

from oddins_pipeline import __version__
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.errors import ResponseRejectedError, TransportError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.provider.transport import post_json

logger = logging.getLogger(__name__)

Event = Literal["sync_failed", "response_rejected", "catalog_stale", "subscription_ending"]

MAX_ATTEMPTS = 3
ATTEMPT_TIMEOUT = 3.0
TOTAL_TIMEOUT = 8.0
RETRYABLE = {408, 425, 429}
"""Statuses after which a retry may succeed, beside those from 500 up."""

_FIRST_ERROR, _FIRST_SERVER_ERROR = 300, 500


class WebhookError(Exception):
    """The receiver did not accept the message."""


class RetryableWebhookError(WebhookError):
    """Another attempt may succeed."""


def notify(settings: Settings, event: Event, message: str, **facts: Any) -> bool:
    """Sends one message; True when the receiver accepted it.

    Never raises. At most TOTAL_TIMEOUT plus one attempt. Without an address nothing is sent.
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
    retrying = Retrying(
        retry=retry_if_exception_type((TransportError, RetryableWebhookError)),
        stop=stop_after_attempt(MAX_ATTEMPTS) | stop_after_delay(TOTAL_TIMEOUT),
        wait=wait_exponential(multiplier=0.5, max=2),
        reraise=True,
    )
    try:
        retrying(_post, settings.webhook_url.get_secret_value(), body)
    except Exception as error:  # noqa: BLE001 - a notification must not become a failure of its own
        # Other errors may quote the address.
        known = isinstance(error, WebhookError)
        reason = str(error) if known else getattr(error, "cause", type(error).__name__)
        extra = {"event": event, "reason": reason}
        logger.warning("the notification could not be sent", extra=extra)
        return False
    logger.info("notification sent", extra={"event": event})
    return True


def _post(url: str, body: dict[str, Any]) -> None:
    status = post_json(url, body, timeout=ATTEMPT_TIMEOUT)
    if status < _FIRST_ERROR:
        return
    retryable = status >= _FIRST_SERVER_ERROR or status in RETRYABLE
    kind = RetryableWebhookError if retryable else WebhookError
    raise kind(f"the receiver responded with HTTP {status}")


def notify_failure(settings: Settings, message: str, *, code: str, **facts: Any) -> bool:
    """A run has failed; `code` as in `errors`."""
    rejected = code == ResponseRejectedError.code
    event: Event = "response_rejected" if rejected else "sync_failed"
    return notify(settings, event, message, code=code, **facts)
