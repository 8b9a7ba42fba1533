"""Hosts whose clocks are hours off: no failure and no staleness is hidden or invented."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.orchestration.jobs import SYNC_JOB
from oddins_pipeline.orchestration.ownership import CLOCK_TAG, Owner
from oddins_pipeline.orchestration.runs import MISSED_TAG
from oddins_pipeline.orchestration.sensors import evaluate_failures
from oddins_pipeline_tests.support.daemon import owner_of
from oddins_pipeline_tests.support.service import FAKETIME, Service

HOURS = [-2, 2]
Kind = dg.DagsterEventType
STATE = (
    "SELECT last_error_at > last_success_at, clock_timestamp() - last_error_at, last_error"
    " FROM provider_sync_state"
)


@pytest.mark.skipif(not Path(FAKETIME).exists(), reason="listed as left out")
@pytest.mark.parametrize("hours", HOURS)
def test_a_command_on_such_a_host_records_and_reads_the_servers_times(
    service: Service, hours: int
) -> None:
    off = {"LD_PRELOAD": FAKETIME, "FAKETIME": f"{hours:+}h"}
    limit = {"ODDINS_STALE_AFTER_HOURS": "1"}

    def is_healthy() -> bool:
        commands = [
            service.run("status", "--check", **service.environment(), **limit, **clock)
            for clock in ({}, off)
        ]
        assert commands[0].code == commands[1].code, "both clocks show the same"
        return commands[0].code == 0

    assert service.sync(**off).code == 0
    assert is_healthy()
    service.provider.script("suspended")
    assert service.sync(**off).code == 1
    assert not is_healthy()
    assert service.sync().code == 0
    assert is_healthy()
    service.query(
        "UPDATE provider_sync_state SET last_synced_at = now() - interval '90 min' RETURNING 1"
    )
    assert not is_healthy()


def lost_run(
    instance: dg.DagsterInstance,
    owner: Owner,
    hours: int,
    *,
    opened: bool,
    kinds: tuple[dg.DagsterEventType, ...] = (Kind.RUN_START, Kind.STEP_START, Kind.RUN_FAILURE),
) -> dg.DagsterRun:
    """A run on such a host that was started, and was failed by another process."""
    behind = {CLOCK_TAG: str(-hours * 3600)} if opened else {}
    job = build_definitions().resolve_job_def(SYNC_JOB)
    run = instance.create_run_for_job(job, tags={**owner.tags, **behind})
    for kind in kinds:
        entry = dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=20,
            user_message="",
            run_id=run.run_id,
            timestamp=(owner.now() + timedelta(hours=hours)).timestamp(),
            dagster_event=dg.DagsterEvent(kind.value, SYNC_JOB),
        )
        instance.handle_new_event(entry)
    return run


@pytest.mark.parametrize("opened", [True, False], ids=["session opened", "before its session"])
@pytest.mark.parametrize("hours", HOURS)
def test_the_sensor_records_a_failure_once_and_never_over_a_later_success(
    instance: dg.DagsterInstance, service: Service, hours: int, opened: bool
) -> None:
    """Before its session the clock of the run's host is not known: it is taken for the sensor's."""
    assert service.sync().code == 0
    lost_run(instance, owner_of(service.database), hours if opened else 0, opened=opened)
    context = dg.build_sensor_context(instance=instance)
    evaluate_failures(context)
    ((failing, age, error),) = service.query(STATE)
    assert failing
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert "terminated unexpectedly" in error or "failed" in error
    assert service.sync().code == 0
    for cursor in (context.cursor, None, "2026-01-01T00:00:00+00:00"):
        evaluate_failures(dg.build_sensor_context(instance=instance, cursor=cursor))
        assert service.query(STATE)[0][0] is False
    lost_run(instance, owner_of(service.database), 0, opened=True)
    evaluate_failures(dg.build_sensor_context(instance=instance, cursor=context.cursor))
    assert service.query(STATE)[0][0] is True, "a run of another clock hides no later one"


@pytest.mark.parametrize("hours", HOURS)
def test_a_run_that_has_just_begun_is_not_taken_for_lost_whatever_its_clock_shows(
    instance: dg.DagsterInstance, service: Service, hours: int
) -> None:
    """It was queued for long, and its process has not connected yet."""
    owner = owner_of(service.database)
    run = lost_run(instance, owner, hours, opened=False, kinds=(Kind.RUN_START,))
    for seconds, expected in ((0, "STARTED"), (15, "STARTED"), (25, "FAILURE")):
        since = (owner.now() - timedelta(seconds=seconds)).isoformat()
        if seconds:
            instance.add_run_tags(run.run_id, {MISSED_TAG: f"{run.run_id} {since}"})
        evaluate_failures(dg.build_sensor_context(instance=instance))
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status.value == expected


def test_a_failure_that_is_found_after_a_later_success_is_no_failure_now(
    instance: dg.DagsterInstance, service: Service
) -> None:
    assert service.sync().code == 0
    lost_run(instance, owner_of(service.database), 2, opened=True)
    assert service.sync().code == 0
    evaluate_failures(dg.build_sensor_context(instance=instance))
    assert service.query(STATE)[0][0] is not True
