"""The documented consumer: it runs after a change of the catalog and after nothing else."""

from __future__ import annotations

import gc
import importlib.util
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.execution.plan.objects import StepSuccessData

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.steps import CATALOG, RAW
from oddins_pipeline.database.lock import lock_id
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.orchestration.jobs import ASSET_JOB, SYNC_JOB
from oddins_pipeline.orchestration.runs import keys_of
from oddins_pipeline.orchestration.sensors import evaluate_failures
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.daemon import owner_of
from oddins_pipeline_tests.support.materialize import materialize
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Service

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "current_seasons.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("current_seasons", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.current_seasons


# Dagster's own helper for tests uses what it calls beta.
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_the_consumer_runs_after_a_change_and_not_after_an_unchanged_sync(
    service: Service, instance: dg.DagsterInstance
) -> None:
    consumer = load()
    entries = generate_leagues(0.02)
    other = json.loads(json.dumps(entries))
    other[0]["league"]["name"] = "Renamed"
    serve(service, entries, entries, other)
    definitions = dg.Definitions.merge(build_definitions(), dg.Definitions(assets=[consumer]))
    cursor = None

    def requested() -> int:
        nonlocal cursor
        ticked = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
        cursor = ticked.cursor
        return ticked.get_num_requested(consumer.key)

    assert requested() == 0, "nothing is there to be read"
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    assert requested() == 1, "the first response"
    result = materialize(instance, "current_seasons", assets=[consumer])
    assert result.success
    (event,) = result.asset_materializations_for_node("current_seasons")
    expected = service.query(
        "SELECT year::text, count(*) FROM seasons WHERE is_current GROUP BY year ORDER BY year"
    )
    assert [(year, value.value) for year, value in event.metadata.items()] == expected
    assert requested() == 0
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    assert requested() == 0, "the same response again"
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    assert requested() == 1, "another response"
    assert requested() == 0, "once for each change"


@pytest.mark.parametrize("day", ["changed", "unchanged"])
def test_a_failing_consumer_runs_last_without_the_lock_and_is_no_failure_of_the_catalog(
    service: Service, instance: dg.DagsterInstance, day: str
) -> None:
    held = []

    @dg.asset(ins={"seasons": dg.AssetIn(input_manager_key="postgres_io_manager")})
    def failing(seasons: Any) -> None:
        held.append((len(seasons) > 0, gc.isenabled(), *service.query(LOCKS)))
        raise RuntimeError("the consumer's own affair")

    names = ("raw_leagues", *LEAGUES.tables)
    if day == "unchanged":
        assert materialize(instance, *names).success
    assert not materialize(instance, *names, "failing", assets=[failing]).success
    assert not materialize(instance, "failing", assets=[failing]).success
    expected = [(True, True, (0, 1)), (True, True, (0, 0))]
    assert held == expected, "no lock; in the first run, a connection"
    evaluate_failures(dg.build_sensor_context(instance=instance))
    assert service.query("SELECT last_error FROM provider_sync_state") == [(None,)]


@pytest.mark.parametrize(("asset", "label"), [(RAW, "leagues"), ("bets", "bets")])
def test_a_consumers_check_of_our_assets_is_not_run_by_our_jobs(
    service: Service, instance: dg.DagsterInstance, asset: str, label: str
) -> None:
    @dg.asset_check(asset=asset, blocking=True)
    def objection() -> dg.AssetCheckResult:
        raise RuntimeError("the consumer's own affair")

    merged = dg.Definitions.merge(build_definitions(), dg.Definitions(asset_checks=[objection]))
    result = merged.resolve_job_def(f"sync_{label}").execute_in_process(
        instance=instance, raise_on_error=False
    )
    assert result.success
    found = {check.check_name for check in result.get_asset_check_evaluations()}
    assert "row_count_change" in found
    assert "objection" not in found
    assert service.query(f"SELECT count(*) > 0 FROM {label}") == [(True,)]


def test_consumers_of_any_priority_run_after_the_catalogs_checks(
    service: Service, instance: dg.DagsterInstance
) -> None:
    held = []

    @dg.asset(deps=[RAW], op_tags={"dagster/priority": "99999"})
    def urgent() -> None:
        held.append(service.query(LOCKS))

    assert materialize(instance, RAW, *LEAGUES.tables, "urgent", assets=[urgent]).success
    assert held == [[(0, 1)]]


def test_a_run_that_loses_its_connection_after_the_catalogs_last_step_goes_on(
    service: Service, instance: dg.DagsterInstance
) -> None:
    @dg.asset(deps=["seasons"])
    def losing() -> None:
        assert service.query(END_SYNCS) == [(True,)]

    @dg.asset(deps=["losing"], ins={"seasons": dg.AssetIn(input_manager_key="postgres_io_manager")})
    def reader(seasons: Any) -> None:
        assert seasons

    names = ("raw_leagues", *LEAGUES.tables, "losing", "reader")
    assert materialize(instance, *names, assets=[losing, reader]).success
    assert service.query("SELECT last_error FROM provider_sync_state") == [(None,)]


def test_a_run_whose_consumers_are_left_is_not_orphaned_without_a_connection(
    service: Service, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oddins_pipeline.orchestration.runs.GRACE_PERIOD", timedelta(0))
    statuses: list[dg.DagsterRunStatus] = []

    @dg.asset(deps=["seasons"])
    def losing() -> None:
        nonlocal statuses
        assert service.query(END_SYNCS) == [(True,)]
        evaluate_failures(dg.build_sensor_context(instance=instance))
        statuses += [run.status for run in instance.get_runs()]

    names = ("raw_leagues", *LEAGUES.tables, "losing")
    assert materialize(instance, *names, assets=[losing]).success
    assert statuses == [dg.DagsterRunStatus.STARTED]
    assert service.query("SELECT last_error FROM provider_sync_state") == [(None,)]


def test_materialize_all_runs_a_partitioned_consumer_that_retries_without_the_lock(
    service: Service, instance: dg.DagsterInstance
) -> None:
    held = []

    @dg.asset(
        ins={"seasons": dg.AssetIn(input_manager_key="postgres_io_manager")},
        partitions_def=dg.StaticPartitionsDefinition(["2023", "2024"]),
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def by_year(seasons: Any) -> None:
        held.append((len(seasons) > 0, *service.query(LOCKS)))
        if len(held) % 2:
            raise RuntimeError("once")

    for _ in ("changed", "unchanged"):
        assert materialize(instance, assets=[by_year], partition="2024").success
    assert held == [(True, (0, 1))] * 4
    evaluate_failures(dg.build_sensor_context(instance=instance))
    assert set(service.query("SELECT last_error FROM provider_sync_state")) == {(None,)}


def test_a_consumer_alone_does_not_wait_for_the_lock(
    service: Service, instance: dg.DagsterInstance
) -> None:
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    with psycopg.connect(service.database) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (lock_id(),))
        assert materialize(instance, "current_seasons", assets=[load()]).success


@pytest.mark.parametrize(
    ("done", "failed"),
    [
        ((RAW,), ["leagues_seasons"]),
        ((RAW, CATALOG), []),
        ((RAW, CATALOG, "bets"), ["bookmakers"]),
    ],
)
@pytest.mark.parametrize("end", ["lost", "canceled"])
def test_a_run_that_ended_among_its_steps_fails_what_it_had_not_finished(
    service: Service,
    instance: dg.DagsterInstance,
    done: tuple[str, ...],
    failed: list[str],
    end: str,
) -> None:
    job = build_definitions().resolve_job_def(ASSET_JOB if "bets" in done else SYNC_JOB)
    run = instance.create_run_for_job(job, tags=owner_of(service.database).tags)
    started = dg.DagsterEvent("PIPELINE_START", job.name)
    instance.report_dagster_event(started, run.run_id)
    succeeded = StepSuccessData(1.0)  # type: ignore[no-untyped-call]  # Dagster's own
    for step in done:
        success = dg.DagsterEvent(
            "STEP_SUCCESS", job.name, step_key=step, event_specific_data=succeeded
        )
        instance.report_dagster_event(success, run.run_id)
    {"lost": instance.report_run_failed, "canceled": instance.report_run_canceled}[end](run)
    evaluate_failures(dg.build_sensor_context(instance=instance))
    found = service.query("SELECT entity FROM provider_sync_state WHERE last_error IS NOT NULL")
    assert [entity for (entity,) in found] == failed


@pytest.mark.parametrize(
    ("steps", "entities"),
    [(["current_seasons"], []), (["bets_checks"], []), ([CATALOG, "bets"], ["bets", "leagues"])],
)
def test_a_run_is_about_the_entities_whose_steps_it_executes(
    steps: list[str], entities: list[str]
) -> None:
    """Re-executed from a consumer's failure, it is not ours to watch."""
    run = dg.DagsterRun(job_name=ASSET_JOB, step_keys_to_execute=steps)
    assert sorted(key.entity.label for key in keys_of(run)) == entities


LOCKS = """
SELECT (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT count(*)::int FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'oddins sync %')
"""

END_SYNCS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'oddins sync %'
"""
