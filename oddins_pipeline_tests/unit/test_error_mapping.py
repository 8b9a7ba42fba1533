"""From a status, headers and a body to an error: on plain values."""

from __future__ import annotations

import pytest

from oddins_pipeline import errors
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.provider.error_mapping import parse_or_raise
from oddins_pipeline.sample_provider.faults import envelope, parse


@pytest.mark.parametrize("status", [400, 403, 404, 429, 499, 500, 503])
@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("access", errors.SuspendedError),
        ("requests", errors.QuotaError),
        ("plan", errors.PlanError),
        ("Ip", errors.BlockedAddressError),
    ],
)
def test_what_the_account_may_not_do_is_final_whatever_the_status(
    status: int, key: str, kind: type[ProviderError]
) -> None:
    with pytest.raises(kind):
        parse_or_raise(status, {}, envelope([], errors={key: "No."}))


def test_a_firewall_that_sends_json_is_known_by_its_header() -> None:
    with pytest.raises(errors.BlockedAddressError):
        parse_or_raise(403, {"cf-mitigated": "block"}, b'{"message": "Denied."}')


def test_a_script_of_faults_says_what_it_means() -> None:
    expected = [("reset", ""), ("reset", ""), ("429", "3"), ("429", "3"), ("ok", "")]
    assert parse("reset:2, 429:2@3,ok") == expected
    assert parse("redirect@http://127.0.0.1:9/x") == [("redirect", "http://127.0.0.1:9/x")]
    for wrong, words in (("rest", "known are ok"), ("reset:x", "whole"), ("429@3:2", "before")):
        with pytest.raises(ValueError, match=words):
            parse(wrong)
