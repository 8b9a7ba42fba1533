"""Responses whose envelope is broken or that are to another request: archived, never published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from oddins_pipeline.catalog.bets import BETS
from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.catalog.response import canonical_hash, entries_of
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Target, Workspace
from oddins_pipeline.errors import OddinsError, ResponseRejectedError
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC
from oddins_pipeline.pipeline.list_sync import list_sync
from oddins_pipeline.pipeline.session import open_session
from oddins_pipeline.pipeline.sync import Sync, SyncPlan
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline_tests.support.line import Line
from oddins_pipeline_tests.support.service import KEY

BET_SYNC = list_sync(BETS)


@pytest.fixture
def line(database: str) -> Iterator[Line]:
    with SampleProvider(scale=0.01) as provider, psycopg.connect(database, autocommit=True) as own:
        known = Settings(
            _env_file=None,
            database_url=database,
            api_key=KEY,
            base_url=provider.url,
            http=RequestLimits(attempts=1),
        )
        workspace = Workspace(known, Target(sample=False, embedded=None), database)
        with open_session(workspace, run_id="run", lock_timeout=0) as session:
            yield Line(session, provider, own)


def run(
    line: Line, plan: SyncPlan[Any], params: dict[str, str] | None = None, *, force: bool = False
) -> OddinsError | None:
    try:
        Sync(line.session, plan, force=force).run(params or {})
    except OddinsError as error:
        return error
    return None


BROKEN = (
    ("other-get", "mismatched", "is to another request"),
    ("other-parameters", "mismatched", "is to another request"),
    ("wrong-results", "envelope", "and holds"),
    ("paging", "envelope", "2 pages instead of 1"),
    ("response-not-list", "envelope", "`response` is not a list"),
    ("no-errors-key", "envelope", "has no errors"),
    ("errors-null", "envelope", "`errors` is NoneType"),
)


@pytest.mark.parametrize("plan", [LEAGUE_SYNC, BET_SYNC], ids=["leagues", "bets"])
@pytest.mark.parametrize(("fault", "code", "why"), BROKEN, ids=[one[0] for one in BROKEN])
def test_it_is_requested_once_archived_with_its_reason_and_published_by_nothing(
    line: Line, plan: SyncPlan[Any], fault: str, code: str, why: str
) -> None:
    path = plan.entity.path
    line.provider.script(fault, path)
    error = run(line, plan, force=True)
    assert isinstance(error, ResponseRejectedError)
    assert error.refusal_code == code
    assert why in str(error)
    assert [asked for _, asked, _ in line.provider.requests] == [path]
    (row,) = line.connection.execute(
        "SELECT 'payload ' || id || ' is rejected: ', refusal, published_at, entity, results,"
        " sha256, bytes FROM provider_payloads"
    ).fetchall()
    start, refusal, published, entity, results, sha256, size = row
    assert (refusal, published, entity) == (str(error), None, plan.entity.name)
    assert refusal.startswith(start)
    if fault == "response-not-list":
        assert results == 0
        assert size > 0
    else:
        entries = line.provider.lists.get(path, line.provider.entries)
        assert (results, sha256) == (len(entries), canonical_hash(entries))
    outcomes = line.connection.execute("SELECT outcome FROM provider_requests").fetchall()
    assert outcomes == [("refused",)]
    assert line.connection.execute("SELECT count(*) FROM leagues").fetchone() == (0,)
    assert line.connection.execute("SELECT count(*) FROM bets").fetchone() == (0,)
    # Neither a replay nor the next sync takes it for the response.
    assert replay(line, plan) is not None
    assert run(line, plan) is None


def test_another_seasons_response_fulfils_no_backfill(line: Line) -> None:
    line.connection.execute("INSERT INTO backfill_requests (season) VALUES (2024)")
    line.provider.script("other-parameters")
    error = run(line, LEAGUE_SYNC, {"season": "2024"})
    assert isinstance(error, ResponseRejectedError)
    statuses = "SELECT status FROM backfill_requests"
    assert line.connection.execute(statuses).fetchall() == [("requested",)]
    assert run(line, LEAGUE_SYNC, {"season": "2024"}) is None
    assert line.connection.execute(statuses).fetchall() == [("done",)]


def replay(line: Line, plan: SyncPlan[Any]) -> OddinsError | None:
    sync = Sync(line.session, plan, force=True)
    try:
        sync.publish(sync.validate(sync.replayed()))
    except OddinsError as error:
        return error
    return None


def test_without_a_list_the_hash_is_that_of_the_bytes(line: Line) -> None:
    body = json.dumps({"get": "leagues", "response": {"a": 1}}).encode()
    line.provider.bodies = [body]
    assert isinstance(run(line, LEAGUE_SYNC), ResponseRejectedError)
    found = line.connection.execute("SELECT results, sha256 FROM provider_payloads").fetchall()
    assert found == [(0, hashlib.sha256(body).hexdigest())]


@pytest.mark.parametrize(
    ("params", "parameters", "accepted"),
    [
        ({"season": "2024"}, {"season": "2024"}, True),
        ({"season": "2024"}, {"Season": 2024}, True),
        ({"season": "2024"}, {"season": "2023"}, False),
        ({"season": "2024"}, [], False),
        ({"season": "2024"}, {"season": "2024", "current": "true"}, False),
        ({"country": "Türkiye", "current": "true"}, {"current": True, "country": "türkiye"}, True),
        ({}, {}, True),
        ({}, {"season": "2024"}, False),
        ({}, "", False),
        ({}, None, False),
    ],
)
@pytest.mark.parametrize("get", ["leagues", "/leagues/"])
def test_parameters_are_compared_as_text_without_case(
    params: dict[str, str], parameters: Any, accepted: bool, get: str
) -> None:
    paging = {"current": 1, "total": 1}
    value: dict[str, Any] = {
        "get": get,
        "errors": [],
        "results": 0,
        "paging": paging,
        "response": [],
    }
    value["parameters"] = parameters
    if accepted:
        assert entries_of(value, "/leagues", params) == []
        return
    with pytest.raises(ResponseRejectedError) as caught:
        entries_of(value, "/leagues", params)
    assert caught.value.refusal_code == "mismatched"


@pytest.mark.parametrize(
    "fault", ["suspended", "errors-string", "status@404", "echo-key", "not-json"]
)
def test_errors_and_other_statuses_are_not_archived(line: Line, fault: str) -> None:
    line.provider.script(fault)
    assert run(line, LEAGUE_SYNC) is not None
    assert line.connection.execute("SELECT count(*) FROM provider_payloads").fetchone() == (0,)
