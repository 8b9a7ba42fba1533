"""The subscription: asked for free, warned of before it ends, its personal part never kept."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from oddins_pipeline.catalog.account import Account, account_of, lapsed, warning
from oddins_pipeline.errors import MalformedResponseError

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def account(days: float | None = 100, *, active: bool = True, used: int | None = 5) -> Account:
    ends = None if days is None else NOW + timedelta(days=days)
    return Account("Pro", ends, active, requests_used=used, requests_limit=100)


def response(**response: Any) -> dict[str, Any]:
    return {"get": "status", "errors": [], "results": 1, "response": response}


def test_the_response_is_read_without_its_personal_part() -> None:
    found = account_of(
        response(
            account={"firstname": "Ann", "email": "ann@example.test"},
            subscription={"plan": "Free", "end": "2020-04-10T23:24:27+00:00", "active": True},
            requests={"current": 12, "limit_day": 100},
        )
    )
    ends = datetime(2020, 4, 10, 23, 24, 27, tzinfo=timezone.utc)
    assert found == Account("Free", ends, active=True, requests_used=12, requests_limit=100)
    assert "ann" not in repr(found).lower()


@pytest.mark.parametrize(
    "end", [None, 7, "", "soon", "2024-13-01", "99999-01-01", "0001-01-01T00:00:00+14:00", [1]]
)
def test_an_end_that_cannot_be_read_is_unknown(end: Any) -> None:
    found = account_of(response(subscription={"end": end, "plan": 3}, requests=[]))
    assert found == Account(None, None, active=True)


@pytest.mark.parametrize("value", [None, [], {}, {"response": []}, {"response": "x"}, 7])
def test_what_is_no_status_is_malformed(value: Any) -> None:
    with pytest.raises(MalformedResponseError):
        account_of(value)


@pytest.mark.parametrize(
    ("known", "over"),
    [
        (account(), False),
        (account(None), False),
        (account(active=False), True),
        (account(-1), True),
        (account(-1, used=None), True),
        (account(-1, used=100), False),
    ],
)
def test_a_subscription_is_over_when_inactive_or_past_its_end_with_requests_left(
    known: Account, over: bool
) -> None:
    assert (lapsed(known, NOW) is not None) is over


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (account(15), None),
        (account(None), None),
        (account(14), "ends in 14 days, on 2026-05-15"),
        (account(0.1), "ends in 0 days"),
        (account(-3), "has lapsed (it ended on 2026-04-28)"),
        (account(active=False), "has lapsed"),
    ],
)
def test_it_is_warned_of_from_two_weeks_before_its_end(known: Account, words: str | None) -> None:
    reported = warning(known, days=14, now=NOW)
    assert (reported is None) is (words is None)
    if reported and words:
        assert words in reported
        assert "renew it in the provider's dashboard" in reported
