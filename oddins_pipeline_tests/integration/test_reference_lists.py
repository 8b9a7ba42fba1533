"""Reference lists: their rows, their feed, and that entities do not touch each other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from oddins_pipeline.catalog.bets import BETS
from oddins_pipeline.catalog.bookmakers import BOOKMAKERS
from oddins_pipeline.catalog.entities import LEAGUES, SyncKey
from oddins_pipeline.database import payloads
from oddins_pipeline.database.catalog_facts import load_facts
from oddins_pipeline.database.connection import connect
from oddins_pipeline.database.requests import load_account_state
from oddins_pipeline.database.status import load_status
from oddins_pipeline.errors import PlanError, ResponseRejectedError
from oddins_pipeline.pipeline.failures import RunFailure, store_failure
from oddins_pipeline.pipeline.quota_policy import background_blocked_reason
from oddins_pipeline.pipeline.staleness import problems, stale_after
from oddins_pipeline_tests.support.core import Core, core_on
from oddins_pipeline_tests.support.lists import sync_list
from oddins_pipeline_tests.support.responses import ENTRIES

TEN = [{"id": number, "name": f"Bookmaker {number}"} for number in range(1, 11)]


@pytest.fixture
def core(any_database: str) -> Iterator[Core]:
    with core_on(any_database) as opened:
        yield opened


def rows(core: Core, table: str = "bookmakers", key: str = "provider_bookmaker_id") -> Any:
    return core.query(f"SELECT {key}, name, delisted_at IS NULL FROM {table} ORDER BY {key}")


def feed(core: Core, entity: str = "bookmakers") -> Any:
    return core.query(
        "SELECT change, natural_key, before, after FROM catalog_changes WHERE entity = %s"
        " ORDER BY id",
        entity,
    )


def test_a_list_is_stored_as_it_came_null_and_shared_names_included(core: Core) -> None:
    entries = [{"id": 96, "name": "Last Goal Scorer"}, {"id": 94, "name": "Last Goal Scorer"}]
    entries += [
        {"id": 3, "name": None},
        {"id": 5, "name": "  "},
        {"id": 7, "name": " Asian\u0301 "},
    ]
    assert sync_list(core, BETS, entries).inserted == 5
    assert rows(core, "bets", "provider_bet_id") == [
        (3, None, True),
        (5, None, True),
        (7, "Asiań", True),
        (94, "Last Goal Scorer", True),
        (96, "Last Goal Scorer", True),
    ]
    assert feed(core, "bets") == [("loaded", None, None, None)]


def test_the_same_list_in_another_order_moves_no_row_version(core: Core) -> None:
    sync_list(core, BOOKMAKERS, TEN)
    versions = core.query("SELECT ctid, xmin FROM bookmakers ORDER BY id")
    shuffled = random.Random(1).sample(TEN, len(TEN))
    assert sync_list(core, BOOKMAKERS, shuffled).unchanged == 10
    assert core.query("SELECT ctid, xmin FROM bookmakers ORDER BY id") == versions
    assert core.query("SELECT count(*) FROM provider_payloads") == [(1,)]


def test_a_row_is_renamed_delisted_and_relisted_in_the_feed(core: Core) -> None:
    sync_list(core, BOOKMAKERS, TEN)
    renamed = [{**TEN[0], "name": "Renamed"}, *TEN[1:]]
    sync_list(core, BOOKMAKERS, renamed)
    counts = sync_list(core, BOOKMAKERS, renamed[:-1])
    assert (counts.received, counts.delisted) == (9, 1)
    sync_list(core, BOOKMAKERS, renamed)
    last = {"name": "Bookmaker 10", "provider_bookmaker_id": 10}
    assert feed(core)[1:] == [
        ("changed", "1", {"name": "Bookmaker 1"}, {"name": "Renamed"}),
        ("delisted", "10", last, None),
        ("relisted", "10", None, last),
    ]


def test_a_list_that_has_lost_a_fifth_is_rejected_and_changes_nothing(core: Core) -> None:
    sync_list(core, BOOKMAKERS, TEN)
    before = rows(core)
    with pytest.raises(ResponseRejectedError, match="8 of the 10 listed bookmakers"):
        sync_list(core, BOOKMAKERS, TEN[:8])
    with pytest.raises(ResponseRejectedError, match="empty response"):
        sync_list(core, BOOKMAKERS, [], force=True)
    assert rows(core) == before
    assert core.query("SELECT count(*) FROM provider_payloads WHERE refusal IS NOT NULL") == [(2,)]
    assert sync_list(core, BOOKMAKERS, TEN[:8], force=True).delisted == 2


def test_what_is_malformed_is_quarantined_and_its_row_stays_listed(core: Core) -> None:
    sync_list(core, BOOKMAKERS, TEN)
    counts = sync_list(core, BOOKMAKERS, [*TEN[:9], {"id": 10, "name": 10}])
    assert (counts.received, counts.delisted) == (9, 0)
    assert rows(core)[-1] == (10, "Bookmaker 10", True)
    found = core.query("SELECT kind, detail FROM payload_anomalies")
    assert [(kind, detail["id"]) for kind, detail in found] == [("quarantined_entry", 10)]
    counts = sync_list(core, BOOKMAKERS, [*TEN[:9], {"id": "10", "name": "Bookmaker 10"}])
    assert counts.delisted == 0, "an entry without a readable id delists nothing"
    many = [*TEN[:8], {"id": 9, "name": 1}, {"id": 10, "name": 1}]
    with pytest.raises(ResponseRejectedError, match="2 of 10 bookmakers are malformed"):
        sync_list(core, BOOKMAKERS, many)


def test_of_two_entries_with_one_id_the_smaller_json_counts_in_any_order(core: Core) -> None:
    twice = [{"id": 1, "name": "B"}, {"id": 1, "name": "A"}]
    for entries in (twice, twice[::-1]):
        sync_list(core, BOOKMAKERS, entries, force=True)
        assert rows(core) == [(1, "A", True)]
    assert core.query("SELECT DISTINCT kind FROM payload_anomalies") == [("duplicate_entry",)]


def test_a_list_does_not_touch_the_state_of_the_leagues(core: Core) -> None:
    core.sync(ENTRIES)
    state = "SELECT last_synced_at, cursor FROM provider_sync_state WHERE entity = %s"
    before = core.query(state, LEAGUES.name)
    sync_list(core, BOOKMAKERS, TEN)
    assert core.query(state, LEAGUES.name) == before
    assert sync_list(core, BOOKMAKERS, TEN).unchanged == 10
    counts = core.sync(ENTRIES)
    assert counts["leagues"].unchanged == counts["leagues"].received
    assert core.query("SELECT count(*) FROM provider_payloads") == [(2,)]


def test_the_first_load_of_the_leagues_is_fed_as_loaded_after_a_list(core: Core) -> None:
    sync_list(core, BOOKMAKERS, TEN)
    core.sync(ENTRIES)
    assert {change for table in LEAGUES.tables for change, *_ in feed(core, table)} == {"loaded"}
    sync_list(core, BOOKMAKERS, [*TEN, {"id": 11, "name": "New"}])
    assert [change for change, *_ in feed(core)] == ["loaded", "added"]


def test_the_checks_look_at_the_payload_of_the_leagues(core: Core) -> None:
    core.sync(ENTRIES)
    limit = stale_after(core.session.workspace.settings, LEAGUES)
    before = load_facts(core.connection, LEAGUES, stale_after=limit)
    sync_list(core, BETS, [*({"id": n} for n in range(1, 12)), {"id": 12, "name": 1}])
    assert load_facts(core.connection, LEAGUES, stale_after=limit) == before


def test_a_failure_is_recorded_for_the_entity_that_failed_only(core: Core) -> None:
    core.sync(ENTRIES)
    workspace = core.session.workspace
    failure = RunFailure.of(PlanError("the plan does not cover the odds"))
    with connect(workspace, purpose="test") as connection:
        store_failure(connection, workspace, failure, [SyncKey(BOOKMAKERS.entity)], "run")
    rows_of_state = core.query("SELECT entity, last_error FROM provider_sync_state")
    found: dict[str, str | None] = dict(rows_of_state)
    assert found["leagues_seasons"] is None
    assert "the plan does not cover the odds" in str(found["bookmakers"])
    status = load_status(core.connection)
    found_problems = list(problems(status["sync"], workspace.settings, status["at"]))
    assert found_problems
    assert all("bookmakers" in problem for problem in found_problems)


def test_an_error_of_a_list_does_not_block_the_leagues_background_requests(core: Core) -> None:
    core.execute(
        "INSERT INTO provider_requests (path, outcome) VALUES ('/odds/bookmakers', 'plan')"
    )
    assert background_blocked_reason(core.connection, LEAGUES) is None
    assert load_account_state(core.connection, BOOKMAKERS.entity).failed == "plan"


def test_a_run_has_published_for_the_entity_that_it_published(core: Core) -> None:
    sync_list(core, BOOKMAKERS, TEN)
    core.execute("UPDATE provider_payloads SET run_id = 'run'")
    assert payloads.has_published(core.connection, "run", SyncKey(BOOKMAKERS.entity))
    assert not payloads.has_published(core.connection, "run", SyncKey(LEAGUES))


def test_a_list_that_was_never_requested_is_no_problem(core: Core) -> None:
    core.sync(ENTRIES)
    status = load_status(core.connection)
    settings = core.session.workspace.settings
    assert list(problems(status["sync"], settings, status["at"])) == []
