"""What the provider reports of the account: quota in headers, the subscription in `/status`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from oddins_pipeline.errors import MalformedResponseError, SubscriptionError
from oddins_pipeline.logs import sanitize


@dataclass(frozen=True)
class Quota:
    """What the provider's headers said of the account; None where a header was absent."""

    day_limit: int | None = None
    day_remaining: int | None = None
    minute_limit: int | None = None
    minute_remaining: int | None = None


@dataclass(frozen=True)
class Account:
    """The subscription and today's requests; None where the provider says nothing readable."""

    plan: str | None
    ends_at: datetime | None
    active: bool
    requests_used: int | None = None
    requests_limit: int | None = None


def account_of(value: Any) -> Account:
    """Reads a response to `/status`. Raises MalformedResponseError."""
    response = value.get("response") if isinstance(value, dict) else None
    if not isinstance(response, dict):
        raise MalformedResponseError("the response to /status has no `response`")
    subscription, requests = _object(response, "subscription"), _object(response, "requests")
    plan = subscription.get("plan")
    return Account(
        plan=sanitize(plan, 50) if isinstance(plan, str) else None,
        ends_at=_moment(subscription.get("end")),
        active=subscription.get("active") is not False,
        requests_used=_whole(requests.get("current")),
        requests_limit=_whole(requests.get("limit_day")),
    )


def lapsed(account: Account, now: datetime | None = None) -> SubscriptionError | None:
    """The error of a subscription that is over: not active, or past its end with requests left
    (an exhausted quota is another error). None when it is active.
    """
    now = now or datetime.now(timezone.utc)
    ended = account.ends_at is not None and account.ends_at <= now
    if account.active and not (ended and _has_requests(account)):
        return None
    when = f" (it ended on {account.ends_at:%Y-%m-%d})" if ended else ""
    return SubscriptionError(f"the provider's subscription has lapsed{when}")


def warning(account: Account, *, days: float, now: datetime | None = None) -> str | None:
    """What to say of a subscription that is over or ends within `days`; None when all is well."""
    now = now or datetime.now(timezone.utc)
    over = lapsed(account, now)
    if over is not None:
        return str(over)
    if account.ends_at is None or account.ends_at - now > timedelta(days=days):
        return None
    left = max(0, (account.ends_at - now) / timedelta(days=1))
    return (
        f"the provider's subscription ends in {left:.0f} days, on {account.ends_at:%Y-%m-%d};"
        " renew it in the provider's dashboard"
    )


def _has_requests(account: Account) -> bool:
    used, limit = account.requests_used, account.requests_limit
    return used is None or limit is None or used < limit


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _moment(value: Any) -> datetime | None:
    """An ISO date or moment, as UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
        found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
        return found.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class AccountState:
    """`day_remaining` and `day_limit` as reported today (UTC); `failed` is the code of the newest
    final failure since the last successful full sync, rejected responses included.
    """

    day_remaining: int | None
    day_limit: int | None
    failed: str | None
