"""Runs that Dagster never started."""

from __future__ import annotations

import sys
from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._utils.error import serializable_error_info_from_exc_info

from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.orchestration.jobs import ASSET_JOB, BACKFILL_JOB, SYNC_JOB
from oddins_pipeline.orchestration.sensors import evaluate_backfills, evaluate_failures
from oddins_pipeline_tests.support.daemon import owner_of
from oddins_pipeline_tests.support.service import KEY, Service

Status = dg.DagsterRunStatus
FAILURES = (
    "SELECT entity, last_error FROM provider_sync_state WHERE last_error IS NOT NULL"
    " ORDER BY entity"
)
DROPPED = "Caught an unrecoverable error while dequeuing the run. Dropping it from the queue"


def refused(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """As the queue's daemon reports what its launcher raised."""
    try:
        raise RuntimeError(f"pull access denied for oddins:9 with {KEY}")
    except RuntimeError:
        error = serializable_error_info_from_exc_info(sys.exc_info())
    instance.report_engine_event(DROPPED, run, EngineEventData.engine_error(error))
    instance.report_engine_event("the launcher is cleaned up", run)
    instance.report_run_failed(run)


def reported(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_engine_event("back-off: pull access denied for oddins:9", run)
    instance.report_run_failed(run)


def late(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_engine_event("a pod was created", run)
    instance.report_run_failed(run, "took longer than 600 s\npull access denied for oddins:9")


def add_run(instance: dg.DagsterInstance, service: Service, job: str, **tags: str) -> dg.DagsterRun:
    return instance.create_run_for_job(
        build_definitions().resolve_job_def(job),
        status=Status.STARTING,
        tags={**owner_of(service.database).tags, **tags},
    )


def tick(instance: dg.DagsterInstance) -> None:
    evaluate_failures(dg.build_sensor_context(instance=instance))


@pytest.mark.parametrize("end", [refused, reported, late])
def test_a_run_that_was_never_started_is_a_failure_of_each_of_its_entities(
    instance: dg.DagsterInstance,
    service: Service,
    end: Callable[[dg.DagsterInstance, dg.DagsterRun], None],
) -> None:
    assert service.sync().code == 0
    end(instance, add_run(instance, service, SYNC_JOB))
    tick(instance)
    ((entity, error),) = found = service.query(FAILURES)
    assert entity == "leagues_seasons"
    assert error.startswith("the run never started: ")
    assert "pull access denied for oddins:9" in error
    assert KEY not in error
    checked = service.run("status", "--check", **service.environment())
    assert checked.code == 1
    assert "never started" in checked.stdout
    tick(instance)
    assert service.query(FAILURES) == found
    end(instance, add_run(instance, service, ASSET_JOB))
    tick(instance)
    assert [name for name, _ in service.query(FAILURES)] == ["bets", "bookmakers", entity]


def test_a_run_that_was_cancelled_in_the_queue_has_failed_at_nothing(
    instance: dg.DagsterInstance, service: Service
) -> None:
    instance.report_run_canceled(add_run(instance, service, SYNC_JOB))
    tick(instance)
    assert service.query(FAILURES) == []


@pytest.mark.parametrize("end", [refused, dg.DagsterInstance.report_run_canceled])
def test_a_launch_that_never_happened_uses_up_no_attempt(
    instance: dg.DagsterInstance,
    service: Service,
    end: Callable[[dg.DagsterInstance, dg.DagsterRun], None],
) -> None:
    service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    for _ in range(2):
        result = evaluate_backfills(dg.build_sensor_context(instance=instance))
        assert isinstance(result, dg.SensorResult)
        (asked,) = result.run_requests or []
        end(instance, add_run(instance, service, BACKFILL_JOB, **asked.tags))
        evaluate_backfills(dg.build_sensor_context(instance=instance))
        ((status, attempts, error),) = service.query(
            "UPDATE backfill_requests SET next_attempt_at = now() RETURNING status, attempts, error"
        )
        assert (status, attempts) == ("requested", 0)
        assert "never started" in error
