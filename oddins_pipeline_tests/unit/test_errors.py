"""The errors are what their module and the documentation say they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oddins_pipeline import errors
from oddins_pipeline.errors import (
    FINAL,
    NO_ATTEMPT,
    OF_THE_REQUEST,
    RETRIED,
    UNRECORDED,
    OddinsError,
    ProviderError,
    subclasses,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "provider.md"

# Class → the cells of docs/provider.md's table, second column, that it stands for.
MEANINGS = {
    errors.RejectedKeyError: ("no key, or key rejected",),
    errors.BlockedAddressError: (
        "the provider's firewall blocks this host's address; the key was not checked",
        "this address is not on the account's list",
    ),
    errors.WrongAddressError: ("wrong address of the API",),
    errors.SuspendedError: ("account suspended",),
    errors.QuotaError: (
        "daily quota exhausted (it resets at 00:00 UTC), or the subscription has lapsed",
    ),
    errors.SubscriptionError: (
        "daily quota exhausted (it resets at 00:00 UTC), or the subscription has lapsed",
    ),
    errors.RateLimitError: ("minute limit",),
    errors.PlanError: ("the plan does not cover this season or parameter",),
    errors.BadRequestError: (
        "a parameter that the provider rejects; it costs a request all the same",
    ),
    errors.UnknownProviderError: ("unknown",),
    errors.ProviderFaultError: ("provider fault", "never followed, because the key would travel"),
    errors.TransportError: ("transport fault",),
    errors.MalformedResponseError: ("malformed",),
}
REJECTED = {"rejected", "rejected: a fault of a cache or a proxy"}


def documented_tree() -> list[tuple[str, str | None]]:
    """(class, parent) of each line of the module docstring's tree."""
    found: list[tuple[str, str | None]] = []
    parents: dict[int, str] = {}
    for line in str(errors.__doc__).splitlines():
        match = re.match(r"((?:│   |    )*(?:├── |└── ))?([A-Z]\w+Error)\b(?!`)", line)
        if match:
            depth = len(match[1] or "") // 4
            parents[depth] = match[2]
            found.append((match[2], parents[depth - 1] if depth else None))
    return found


def documented_table() -> dict[str, bool]:
    """What an error means → whether the client retries, by docs/provider.md."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Errors")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"][2:]
    return {
        means: "no retry" not in client and re.search(r"\bretr(y|ies)\b", client) is not None
        for _, means, client in rows
    }


def test_the_documented_tree_holds_every_error_once_below_its_parent() -> None:
    defined = [(one.__name__, one.__bases__[0].__name__) for one in subclasses()][1:]
    documented = documented_tree()
    assert documented[0] == (OddinsError.__name__, None)
    assert sorted(map(str, documented[1:])) == sorted(map(str, defined))


def test_each_error_has_one_parent() -> None:
    assert [one for one in subclasses() if len(one.__bases__) != 1] == []


def test_no_two_errors_share_a_code_unless_inherited() -> None:
    codes = [one.code for one in subclasses() if "code" in vars(one)]
    assert sorted(codes) == sorted(set(codes))


def test_every_error_of_the_provider_has_a_code_and_a_hint_of_its_own() -> None:
    below = list(subclasses(ProviderError))[1:]
    assert [one for one in below if not {"code", "hint"} <= vars(one).keys()] == []


def test_the_documentation_says_what_every_error_of_the_provider_means() -> None:
    assert set(MEANINGS) == set(subclasses(ProviderError)) - {ProviderError}
    means = {means for cells in MEANINGS.values() for means in cells}
    assert means | REJECTED == set(documented_table())


@pytest.mark.parametrize("error", MEANINGS, ids=lambda error: error.code)
def test_the_client_retries_what_the_documentation_says(error: type[ProviderError]) -> None:
    table = documented_table()
    documented = {table[means] for means in MEANINGS[error]}
    assert documented == {error in RETRIED}
    assert documented == {error.code not in FINAL}


def test_a_rejected_response_is_not_requested_again() -> None:
    assert {documented_table()[means] for means in REJECTED} == {False}
    assert not errors.ResponseRejectedError.retryable


def test_only_a_plan_a_parameter_or_a_rejected_response_concern_one_request() -> None:
    assert sorted(OF_THE_REQUEST) == ["bad_request", "plan", "refused"]


def test_only_runs_that_sent_no_request_use_up_no_attempt() -> None:
    assert sorted(NO_ATTEMPT) == ["launch", "lock_held", "no_season", "not_in_catalog", "postponed"]
    assert {"launch"} == NO_ATTEMPT - UNRECORDED
