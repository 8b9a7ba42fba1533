"""One sentence for a failure: in the log, in Dagster's run, in the sync state, on the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oddins_pipeline import errors
from oddins_pipeline.errors import ProviderError
from oddins_pipeline_tests.support.service import Service

WAITING = ("waiting", "wait until", "retry", "Wait", "upgrade the plan")


def kinds(base: type[ProviderError]) -> list[type[ProviderError]]:
    return [one for kind in base.__subclasses__() for one in (kind, *kinds(kind))]


@pytest.mark.parametrize("kind", kinds(ProviderError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_provider_has_a_cause_a_hint_and_says_whether_waiting_helps(
    kind: type[ProviderError],
) -> None:
    error = kind("the cause")
    assert str(error) == f"the cause; {kind.hint}"
    assert any(word in kind.hint for word in WAITING)
    assert kind.code != ProviderError.code
    assert isinstance(kind.retryable, bool)


def failure_metadata(service: Service) -> dict[str, Any]:
    ((event,),) = service.query(
        "SELECT event FROM dagster.event_logs WHERE dagster_event_type = 'STEP_FAILURE'"
        " ORDER BY id DESC LIMIT 1"
    )
    data = json.loads(event)["dagster_event"]["event_specific_data"]["user_failure_data"]
    entries = {entry["label"]: entry["entry_data"] for entry in data["metadata_entries"]}
    return {"sentence": data["description"], **entries}


FAULTS = (
    ("bad-key", errors.RejectedKeyError),
    ("lapsed", errors.SubscriptionError),
    ("429@500", errors.RateLimitError),
    ("503", errors.ProviderFaultError),
    ("paging", errors.ResponseRejectedError),
    ("shrunk", errors.ResponseRejectedError),
)


def test_the_same_sentence_is_everywhere_and_no_table_is_touched(service: Service) -> None:
    assert service.sync().code == 0
    before = service.versions()
    for fault, kind in FAULTS:
        service.query("DELETE FROM provider_requests RETURNING 1")  # no minute to wait for
        service.provider.script(fault)
        done = service.sync("--log-format", "json", ODDINS_HTTP_ATTEMPTS="1")
        assert done.code == 1
        assert done.stdout == ""
        (last_error, failing), *_ = service.query(
            "SELECT last_error, last_error_at > last_synced_at FROM provider_sync_state"
            " WHERE entity = 'leagues_seasons'"
        )
        assert failing
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert lines[-1]["message"] == last_error
        (logged,) = [line for line in done.logs if line["level"] == "error"]
        assert (logged["message"], logged["code"]) == (last_error, kind.code)
        assert logged["retryable"] is kind.retryable
        assert failure_metadata(service)["sentence"] == last_error
        assert kind.code in json.dumps(failure_metadata(service)["code"])
        assert "Traceback" not in done.stderr
        assert service.versions() == before


def test_dagster_asset_materialize_reports_the_same(service: Service, tmp_path: Path) -> None:
    assert service.sync().code == 0
    before = service.versions()
    service.provider.script("plan")
    home = tmp_path / "home" / "dagster"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("--select", "*", "-m", "oddins_pipeline.definitions"),
        ],
        env={**os.environ, **service.environment(), "DAGSTER_HOME": str(home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ((last_error,),) = service.query(
        "SELECT last_error FROM provider_sync_state WHERE entity = 'leagues_seasons'"
    )
    assert "the provider's plan does not cover this request" in last_error
    assert done.returncode == 1
    assert last_error in done.stderr
    assert failure_metadata(service)["sentence"] == last_error
    paths = [path for _, path, _ in service.provider.requests]
    assert sorted(paths) == ["/leagues", "/leagues", "/odds/bets", "/odds/bookmakers"]
    assert service.versions() == before


@pytest.mark.parametrize(
    "command",
    [
        "sync leagues --bogus",
        "sync leagues --season x",
        "nonsense",
        "sync leagues --log-format xml",
        "sync",
        "backfill 1066",
        "changes --since never",
        "payload 99",
        "db grant-read nobody_there",
    ],
)
def test_every_line_of_stderr_is_an_object_where_it_is_no_terminal(
    service: Service, command: str
) -> None:
    done = service.run(*command.split(), **service.environment())
    assert done.code > 0
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[-1]["level"] == "error"
    assert {"timestamp", "message", "code"} <= lines[-1].keys()


def test_the_option_decides_the_format_of_wrong_usage_too(service: Service) -> None:
    done = service.run("sync", "leagues", "--log-format", "text", "--bogus")
    assert done.code == 2
    assert done.stderr.startswith("Usage: oddins sync leagues")


def test_a_sync_goes_on_when_a_fault_has_passed(service: Service) -> None:
    service.provider.script("429@1,reset,ok")
    done = service.sync("--log-format", "json")
    assert done.code == 0, done.stderr
    times = [at for at, _, _ in service.provider.requests]
    assert len(times) == 3
    assert times[1] - times[0] >= 1
    retried = [line for line in done.logs if line["message"] == "the request failed, retrying"]
    assert [line["code"] for line in retried] == ["rate_limit", "transport_fault"]
    outcomes = service.query("SELECT outcome FROM provider_requests ORDER BY id")
    assert outcomes == [("rate_limit",), ("transport_fault",), ("ok",)]


def test_a_dry_run_and_a_wrong_option_fail_in_a_sentence(service: Service) -> None:
    service.provider.script("suspended")
    done = service.sync("--dry-run")
    assert done.code == 1
    assert "has suspended the account" in done.stderr
    assert "Traceback" not in done.stderr
    wrong = service.sync("--country", " ")
    assert wrong.code == 2
    assert "the country is empty" in wrong.stderr
    assert len(service.provider.requests) == 1
