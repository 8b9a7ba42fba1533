"""Backfills: how seasons are asked for, and what a run of `backfill_seasons` does."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone

import dagster as dg
import pytest
from dagster._core.loader import LoadingContextForTest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.orchestration.backfill import seasons
from oddins_pipeline.orchestration.failures import run_failure
from oddins_pipeline.orchestration.jobs import BACKFILL_JOB
from oddins_pipeline.pipeline.failures import RunFailure
from oddins_pipeline_tests.support.materialize import materialize
from oddins_pipeline_tests.support.service import Service


def backfill(
    instance: dg.DagsterInstance, season: int | None, **tags: str
) -> dg.ExecuteInProcessResult:
    job = build_definitions().resolve_job_def(BACKFILL_JOB)
    partition = str(season) if season else None
    return job.execute_in_process(
        instance=instance, partition_key=partition, tags=tags, raise_on_error=False
    )


def why(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> RunFailure:
    assert not result.success
    return run_failure(instance, result.run_id)


def statuses(service: Service) -> list[tuple[object, ...]]:
    return service.query("SELECT season, status, attempts FROM backfill_requests ORDER BY season")


def test_a_season_is_published_and_reported_by_the_same_assets(
    instance: dg.DagsterInstance, service: Service
) -> None:
    assert service.sync().code == 0
    listed = service.query("SELECT count(*) FROM leagues WHERE delisted_at IS NULL")
    result = backfill(instance, 2024)
    assert result.success
    reported = {
        key: instance.get_latest_materialization_event(key) for key in instance.get_asset_keys()
    }
    assert {key.path[-1] for key in reported} == {
        *("raw_leagues", "countries", "leagues", "seasons", "season_coverage"),
    }
    ((sha256,),) = service.query("SELECT sha256 FROM provider_payloads WHERE params <> '{}'")
    for event in reported.values():
        assert event is not None
        assert event.asset_materialization is not None
        assert (event.asset_materialization.tags or {})["dagster/data_version"] == sha256
    assert service.provider.requests[-1][2] == {"season": "2024"}
    assert service.query("SELECT count(*) FROM leagues WHERE delisted_at IS NULL") == listed
    states = service.query("SELECT entity FROM provider_sync_state ORDER BY 1")
    assert states == [("leagues_seasons",), ("leagues_seasons_partial",)]


@pytest.mark.parametrize("partial", ["backfill", "season", "one table"])
def test_after_a_partial_publication_every_check_stands_and_is_true(
    instance: dg.DagsterInstance, service: Service, partial: str
) -> None:
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    before = shown_checks(instance)
    assert len(before) == 7
    assert before["freshness"]
    assert before["one_to_one"]
    # Stale, and edited by hand: what was true before is true no longer.
    for change in (
        "UPDATE provider_sync_state SET last_synced_at = now() - interval '3 days' RETURNING 1",
        "DELETE FROM season_coverage WHERE season_id = (SELECT min(id) FROM seasons) RETURNING 1",
    ):
        service.query(change)
    # SQLite's clock, by which Dagster decides whether a result is newer, has whole seconds.
    time.sleep(1.1)
    season = {"raw_leagues": {"config": {"season": 2023}}}
    tables = ("countries",) if partial == "one table" else LEAGUES.tables
    if partial == "backfill":
        assert backfill(instance, 2023).success
    else:
        assert materialize(instance, "raw_leagues", *tables, ops=season).success
    expected = before | {"freshness": False, "one_to_one": False}
    assert shown_checks(instance) == expected


def shown_checks(instance: dg.DagsterInstance) -> dict[str, bool]:
    """The result that the UI shows of each check: that of the newest materialization."""
    keys = build_definitions().resolve_asset_graph().asset_check_keys
    found = {}
    for key in keys:
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
        if record is None:
            continue
        context = LoadingContextForTest(instance)
        if asyncio.run(record.targets_latest_materialization(context)):
            assert record.evaluation is not None
            found[key.name] = record.evaluation.passed
    return found


def test_the_seasons_to_choose_from_run_from_2008_to_two_years_ahead() -> None:
    keys = seasons.get_partition_keys()
    assert (keys[0], keys[-1]) == ("2008", str(datetime.now(timezone.utc).year + 2))


def test_a_launch_without_a_season_fails_before_fetching(
    instance: dg.DagsterInstance, service: Service
) -> None:
    reported = why(instance, backfill(instance, None))
    assert "no season was chosen" in reported.message
    assert service.query("SELECT count(*) FROM provider_sync_state") == [(0,)]
    assert service.provider.requests == []


def test_publishing_a_season_fulfils_the_request_for_it_also_when_nothing_changed(
    instance: dg.DagsterInstance, service: Service
) -> None:
    for _ in range(2):
        asked = service.run("backfill", "2023..2024", **service.environment())
        assert asked.code == 0, asked.stderr
        assert backfill(instance, 2023).success
        assert [row for row in statuses(service) if row[1] == "requested"] == [
            (2024, "requested", 0)
        ]
    done = service.query("SELECT run_id IS NOT NULL FROM backfill_requests WHERE status = 'done'")
    assert done == [(True,), (True,)]
    assert service.query("SELECT count(*) FROM provider_payloads") == [(1,)]


def test_a_failed_transaction_leaves_the_request_open(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    service.provider.script("bad-key")
    assert why(instance, backfill(instance, 2024)).code == "rejected_key"
    assert statuses(service) == [(2024, "requested", 0)]
    error = service.query("SELECT entity, last_error FROM provider_sync_state")
    assert error[0][0] == "leagues_seasons_partial"
    assert "rejects the key" in error[0][1]


def test_after_a_final_failure_a_backfill_asks_nothing_until_a_full_sync_has_succeeded(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.provider.script("suspended")
    assert service.sync().code == 1
    before = len(service.provider.requests)
    reported = why(instance, backfill(instance, 2024))
    assert reported.code == "postponed"
    assert "until a full sync succeeds" in reported.message
    assert len(service.provider.requests) == before
    assert service.sync().code == 0
    assert backfill(instance, 2024).success


def test_below_a_tenth_of_the_days_quota_a_backfill_asks_nothing(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.provider.day_remaining = 500
    assert service.sync().code == 0
    before = len(service.provider.requests)
    reported = why(instance, backfill(instance, 2024))
    assert "less than 10 %" in reported.message
    assert len(service.provider.requests) == before


def test_oddins_backfill_says_what_it_costs_and_who_will_do_it(service: Service) -> None:
    assert service.sync().code == 0
    first = service.run("backfill", "2019", "2021..2023", **service.environment())
    assert first.code == 0, first.stderr
    assert "requested: 2019, 2021, 2022, 2023" in first.stdout
    assert "uses 4 requests; 7,499 left" in first.stdout
    assert "oddins dev" in first.stdout
    again = service.run("backfill", "2018..2019", "--json", **service.environment()).json
    assert (again["requested"], again["already_open"]) == ([2018], [2019])
    pending = service.run("status", "--json", **service.environment()).json["backfills_pending"]
    assert [one["season"] for one in pending] == [2019, 2021, 2022, 2023, 2018]


@pytest.mark.parametrize("season", ["2007", "2023..2021", "1e3", "2021...2023", "9999"])
def test_oddins_backfill_refuses_what_is_no_season(service: Service, season: str) -> None:
    done = service.run("backfill", season, **service.environment())
    assert done.code == 2
    assert f"{season} is not a season or a range" in done.stderr
    assert statuses(service) == []
