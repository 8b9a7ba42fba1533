"""The stand-in keeps an account's limits, so that whoever tries with it oversteps none."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline.sample_provider.faults import parse_scripts

KEY = {"x-apisports-key": "any"}


def ask(provider: SampleProvider, path: str = "/leagues") -> tuple[dict[str, Any], httpx.Headers]:
    response = httpx.get(provider.url + path, headers=KEY)
    return response.json(), response.headers


def test_what_oversteps_the_minute_is_an_error() -> None:
    with SampleProvider(0.01, minute_limit=2) as provider:
        for left in ("1", "0"):
            response, headers = ask(provider)
            assert not response["errors"]
            assert headers["X-RateLimit-Remaining"] == left
        response, headers = ask(provider)
        assert list(response["errors"]) == ["rateLimit"]
        assert headers["X-RateLimit-Remaining"] == "0"


def test_what_oversteps_the_day_is_an_error_and_status_is_free() -> None:
    with SampleProvider(0.01, day_limit=1) as provider:
        for _ in range(2):
            response, _headers = ask(provider, "/status")
            assert response["response"]["requests"] == {"current": 0, "limit_day": 1}
        assert not ask(provider)[0]["errors"]
        assert list(ask(provider)[0]["errors"]) == ["requests"]


@pytest.mark.parametrize("fault", ["bad-key", "ip", "domain"])
def test_a_key_that_is_rejected_is_so_for_status_too(fault: str) -> None:
    with SampleProvider(0.01, faults=(fault,)) as provider:
        rejected = [ask(provider, path)[0]["errors"] for path in ("/status", "/leagues")]
        assert rejected[0] == rejected[1]
        assert rejected[0]
        assert not ask(provider)[0]["errors"]


def test_lists_whose_paths_end_alike_have_names_of_their_own() -> None:
    scripts = parse_scripts(("live_bets=reset",), ("/leagues", "/odds/bets", "/odds/live/bets"))
    assert scripts == {"/leagues": [], "/odds/bets": [], "/odds/live/bets": [("reset", "")]}


def test_a_fault_is_played_by_every_list_or_by_the_one_it_names() -> None:
    with SampleProvider(0.01, faults=("plan", "bets=ok,error@bug")) as provider:
        paths = ("/leagues", "/odds/bookmakers", "/odds/bets")
        assert [list(ask(provider, path)[0]["errors"]) for path in paths] == [["plan"]] * 3
        assert [list(ask(provider, path)[0]["errors"]) for path in paths] == [[]] * 3
        assert [list(ask(provider, path)[0]["errors"]) for path in paths] == [[], [], ["bug"]]


@pytest.mark.parametrize("path", ["/leagues?season=2024", "/odds/bets", "/leagues/seasons"])
def test_a_response_repeats_its_request_with_a_fault_too(path: str) -> None:
    with SampleProvider(0.01, faults=("ok,shrunk,suspended",)) as provider:
        echoes = [(r["get"], r["parameters"]) for r, _ in (ask(provider, path) for _ in range(3))]
    parts = urlsplit(path)
    assert echoes == [(parts.path.strip("/"), dict(parse_qsl(parts.query)) or [])] * 3


def test_the_command_serves_a_free_account_and_reports_of_each_request() -> None:
    command = [sys.executable, "-m", "oddins_pipeline", "sample-provider", "--port", "0"]
    limits = ["--scale", "0.01", "--day-limit", "100", "--minute-limit", "10"]
    with subprocess.Popen([*command, *limits], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        response = httpx.get(f"{found[0]}/leagues", headers=KEY)
        assert response.headers["x-ratelimit-requests-remaining"] == "99"
        assert response.headers["X-RateLimit-Limit"] == "10"
        assert "GET /leagues: ok (200)" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 128 + signal.SIGINT
