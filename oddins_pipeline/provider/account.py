"""What the provider tells of the account: quota in headers, the subscription in `/status`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from oddins_pipeline.errors import MalformedAnswerError, SubscriptionError
from oddins_pipeline.logs import one_line

RENEW = "renew it in the provider's dashboard"


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
    """Reads an answer to `/status`. Raises MalformedAnswerError."""
    response = value.get("response") if isinstance(value, dict) else None
    if not isinstance(response, dict):
        raise MalformedAnswerError("the answer to /status has no `response`")
    subscription, requests = _object(response, "subscription"), _object(response, "requests")
    plan = subscription.get("plan")
    return Account(
        plan=one_line(plan, 50) if isinstance(plan, str) else None,
        ends_at=_moment(subscription.get("end")),
        active=subscription.get("active") is not False,
        requests_used=_whole(requests.get("current")),
        requests_limit=_whole(requests.get("limit_day")),
    )


def lapsed(account: Account) -> SubscriptionError:
    """The error of a subscription that is no longer active."""
    ended = f" (it ended {account.ends_at:%Y-%m-%d})" if account.ends_at else ""
    return SubscriptionError(f"the provider's subscription has lapsed{ended}; {RENEW}")


def warning(account: Account, *, days: float, now: datetime | None = None) -> str | None:
    """What to say of a subscription that is over or ends within `days`; None when all is well."""
    now = now or datetime.now(timezone.utc)
    if not account.active:
        return str(lapsed(account))
    if account.ends_at is None or account.ends_at - now > timedelta(days=days):
        return None
    left = (account.ends_at - now).total_seconds() / 86_400
    when = f"ends in {left:.0f} days" if left > 0 else "has ended"
    return f"the provider's subscription {when}, on {account.ends_at:%Y-%m-%d}; {RENEW}"


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
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
