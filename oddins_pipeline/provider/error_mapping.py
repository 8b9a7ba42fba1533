"""From a response to an error: the table of docs/provider.md as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.catalog.response import errors_of, parse_body
from oddins_pipeline.errors import (
    BadRequestError,
    BlockedAddressError,
    MalformedResponseError,
    PlanError,
    ProviderError,
    ProviderFaultError,
    QuotaError,
    RateLimitError,
    RejectedKeyError,
    SuspendedError,
    TransportError,
    UnknownProviderError,
    WrongAddressError,
)
from oddins_pipeline.logs import sanitize

PARAMETERS = frozenset(
    {"id", "name", "country", "code", "season", "team", "type", "current", "search", "last"}
)
_QUOTED = 200
_ACCOUNT = (RejectedKeyError, BlockedAddressError, SuspendedError, PlanError, QuotaError)
"""What the account may not do: no status makes a retry useful."""
HTTP_OK, HTTP_EMPTY, HTTP_UNAUTHORIZED, HTTP_FORBIDDEN, HTTP_TOO_MANY = 200, 204, 401, 403, 429
HTTP_WRONG_ADDRESS = {400, 404, 405}
HTTP_SERVER_ERROR, HTTP_PROVIDER_TIMEOUT = 500, 499


def parse_or_raise(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """The parsed body of a success, or the error that the response is.

    Raises a ProviderError. The text of an unknown error is quoted, redacted.
    """
    if status not in {HTTP_OK, HTTP_EMPTY}:
        raise _of_status(status, headers, body)
    if status == HTTP_EMPTY:
        raise _of_errors(_errors_or_nothing(body), headers) or ProviderFaultError(
            "the provider sent an empty response (HTTP 204)"
        )
    try:
        value = parse_body(body)
    except MalformedResponseError as error:
        raise TransportError(f"{error.cause}: cut off, or not the provider's") from None
    reported = _of_errors(errors_of(value), headers)
    if reported is not None:
        raise reported
    return value


def _of_status(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The error of a response that is no success."""
    if 300 <= status < 400:  # noqa: PLR2004
        return ProviderFaultError(
            f"the provider responded with a redirect (HTTP {status}), which is never followed:"
            " the key would travel",
            hint="retry later, and check API_FOOTBALL_BASE_URL",
        )
    reported = _of_errors(_errors_or_nothing(body), headers)
    if isinstance(reported, _ACCOUNT):
        return reported
    if status == HTTP_TOO_MANY:
        return _rate_limit(headers)
    if status >= HTTP_SERVER_ERROR or status == HTTP_PROVIDER_TIMEOUT:
        return ProviderFaultError(
            f"the provider failed (HTTP {status})", retry_after=_asked_pause(headers)
        )
    return reported or _of_client_status(status, headers, body)


def _of_client_status(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The error of a status that blames the request, with no `errors` that explain it."""
    value = _object_or_none(body)
    if status == HTTP_UNAUTHORIZED or (status == HTTP_FORBIDDEN and value and "errors" in value):
        return RejectedKeyError(f"the provider rejects the key (HTTP {status})")
    if status == HTTP_FORBIDDEN and (value is None or "cf-mitigated" in headers):
        return BlockedAddressError(
            "this host's address is blocked by the provider's firewall (HTTP 403); the key was not"
            " checked"
        )
    message = value.get("message") if value else None
    said = f" ({_quoted(message)})" if isinstance(message, str) else ""
    cause = f"the provider responded with HTTP {status}{said}"
    if status in HTTP_WRONG_ADDRESS or status == HTTP_FORBIDDEN:
        return WrongAddressError(cause)
    return UnknownProviderError(cause)


def _object_or_none(body: bytes) -> dict[str, Any] | None:
    try:
        value = parse_body(body)
    except MalformedResponseError:
        return None
    return value if isinstance(value, dict) else None


def _errors_or_nothing(body: bytes) -> dict[str, str]:
    return errors_of(_object_or_none(body))


_not_listed = partial(
    BlockedAddressError,
    hint="do not retry; add it to the account's list in the provider's dashboard",
)
_BY_KEY: dict[str, tuple[Callable[[str], ProviderError], str]] = {
    "token": (RejectedKeyError, "the provider rejects the key"),
    "access": (SuspendedError, "the provider has suspended the account"),
    "ip": (_not_listed, "the provider does not accept this host's address"),
    "domain": (_not_listed, "the provider does not accept this host's domain"),
    "plan": (PlanError, "the provider's plan does not cover this request"),
    "endpoint": (WrongAddressError, "the provider does not know this address"),
}


def _of_errors(errors: dict[str, str], headers: Mapping[str, str]) -> ProviderError | None:
    """The error of an `errors` object, by its key; None when it is empty."""
    if not errors:
        return None
    said = _quoted("; ".join(errors.values()))
    for key, (kind, cause) in _BY_KEY.items():
        if key in errors:
            return kind(f"{cause} ({said})")
    if "ratelimit" in errors:
        return _rate_limit(headers)
    if "requests" in errors:
        return _of_requests(errors["requests"], said, headers)
    if "bug" in errors:
        return ProviderFaultError(
            f"the provider reports a fault of its own ({said})", retry_after=_asked_pause(headers)
        )
    fields = sorted(PARAMETERS & errors.keys())
    if fields:
        return BadRequestError(f"the provider refuses the parameter {', '.join(fields)} ({said})")
    named = _quoted("; ".join(f"{key}: {text}" for key, text in errors.items()))
    return UnknownProviderError(f"the provider responded with an unknown error ({named})")


def _of_requests(text: str, said: str, headers: Mapping[str, str]) -> ProviderError:
    """The day's limit; also the minute's by its text, unless the headers say that the day is."""
    if "minute" in text.lower() and quota_of(headers).day_remaining != 0:
        return _rate_limit(headers)
    return QuotaError(f"daily request quota exhausted ({said})")


def _quoted(text: str) -> str:
    """Untrusted: one line, redacted, and marked as a quotation."""
    return f'"{sanitize(text, _QUOTED)}"'


def _rate_limit(headers: Mapping[str, str]) -> RateLimitError:
    return RateLimitError(
        "the provider's limit of requests per minute is reached", retry_after=_asked_pause(headers)
    )


def _asked_pause(headers: Mapping[str, str]) -> float | None:
    return retry_after(headers.get("retry-after"), datetime.now(timezone.utc))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or HTTP date); None when unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        seconds = (when - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def quota_of(headers: Mapping[str, str]) -> Quota:
    """What the headers say of the account; absent or unreadable ones are None."""
    return Quota(*_limit(headers, "x-ratelimit-requests"), *_limit(headers, "x-ratelimit"))


def _limit(headers: Mapping[str, str], name: str) -> tuple[int | None, int | None]:
    """(limit, remaining). A limit of 0 says nothing, nor does what remains of it."""
    limit = _whole(headers.get(f"{name}-limit"))
    return (None, None) if limit == 0 else (limit, _whole(headers.get(f"{name}-remaining")))


def _whole(value: str | None) -> int | None:
    if value is None or not value.strip().isascii() or not value.strip().isdigit():
        return None
    number = int(value.strip()[:12])
    return number if number < 2**31 else None
