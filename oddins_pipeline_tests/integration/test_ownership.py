"""Several databases and code locations on one Dagster instance: only our own runs are touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline.database.identity import DATABASE_TAG
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.orchestration.jobs import ASSET_JOB, BACKFILL_JOB, PRUNE_JOB, SYNC_JOB
from oddins_pipeline.orchestration.ownership import load_owner
from oddins_pipeline.orchestration.schedules import build_schedules
from oddins_pipeline.orchestration.sensors import build_sensors
from oddins_pipeline_tests.support.daemon import YAML, instance_at, owner_of
from oddins_pipeline_tests.support.service import Service, at_database, clone

Status = dg.DagsterRunStatus
HERE, ELSEWHERE = "oddins_pipeline.definitions", "somewhere.else"
SETTINGS = AutomationSettings(_env_file=None)
AN_HOUR_AGO = (
    "UPDATE dagster.runs SET create_timestamp = create_timestamp - interval '1 hour',"
    " start_time = extract(epoch FROM now()) - 3600 WHERE status = 'STARTED' RETURNING 1"
)
LAST_ERRORS = "SELECT last_error FROM provider_sync_state WHERE last_error IS NOT NULL"


@pytest.fixture
def instance(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """One that commands use, too; every run in it is old enough to have connected."""
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "dagster_home"
    home.mkdir()
    shutil.copy(YAML, home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setattr("oddins_pipeline.orchestration.runs.GRACE_PERIOD", timedelta(0))
    monkeypatch.setenv("ODDINS_LOCK_TIMEOUT", "0")
    with instance_at(home) as made:
        yield made


@pytest.fixture
def other(_templates: dict[int, str]) -> str:
    """The id of another database of the same server."""
    return owner_of(clone(_templates[18])).database_id


@dg.asset
def leagues() -> None:
    """A neighbor's asset, which has nothing but the name in common with ours."""


def origin(location: str, job: str) -> RemoteJobOrigin:
    found = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    return RemoteJobOrigin(found, job)


@dataclass(frozen=True)
class Neighbor:
    """A run of the instance: its job, its location (None: the command line's), its database."""

    job: str
    location: str | None
    of: str | None

    def add(self, instance: dg.DagsterInstance, other: str, status: Status) -> dg.DagsterRun:
        databases = {"ours": owner_of(os.environ["DATABASE_URL"]).database_id, "other": other}
        definitions = dg.Definitions([leagues]) if self.job == ASSET_JOB else build_definitions()
        return instance.create_run_for_job(
            definitions.resolve_job_def(self.job),
            status=status,
            tags={DATABASE_TAG: databases[self.of]} if self.of else {},
            remote_job_origin=origin(self.location, self.job) if self.location else None,
        )


def prune_job() -> dg.JobDefinition:
    return build_definitions().resolve_job_def(PRUNE_JOB)


FOREIGN = [
    Neighbor(SYNC_JOB, HERE, "other"),
    Neighbor(BACKFILL_JOB, HERE, "other"),
    Neighbor(SYNC_JOB, None, "other"),
    Neighbor("sync_bets", ELSEWHERE, None),
    Neighbor(ASSET_JOB, ELSEWHERE, None),
    Neighbor(ASSET_JOB, None, None),
]
OURS = [Neighbor(SYNC_JOB, HERE, None), Neighbor(SYNC_JOB, None, "ours")]
OURS += [Neighbor(SYNC_JOB, ELSEWHERE, "ours")]  # the location was renamed


def tick(instance: dg.DagsterInstance, sensor: str) -> SensorExecutionData:
    found = next(one for one in build_sensors(SETTINGS) if one.name == sensor)
    context = dg.SensorEvaluationContext(
        instance_ref=None,
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=None,
        log_key=None,
        repository_name=None,
        instance=instance,
        code_location_origin=RegisteredCodeLocationOrigin(HERE),
    )
    return found.evaluate_tick(context)


@pytest.mark.parametrize("neighbor", FOREIGN, ids=str)
def test_a_neighbors_run_is_neither_failed_nor_waited_for_nor_recorded(
    instance: dg.DagsterInstance,
    service: Service,
    other: str,
    neighbor: Neighbor,
) -> None:
    run = neighbor.add(instance, other, Status.STARTED)
    schedule = next(one for one in build_schedules(SETTINGS) if one.name == "daily_league_sync")
    with dg.build_schedule_context(instance=instance) as context:
        (asked,) = schedule.evaluate_tick(context).run_requests or []
    assert asked.tags[DATABASE_TAG] == owner_of(os.environ["DATABASE_URL"]).database_id
    assert run.run_id[:8] not in str(tick(instance, "catch_up_sensor").skip_message)
    tick(instance, "sync_failure_sensor")
    assert service.sync().code == 0, "the command looks for orphans, too"
    service.query(AN_HOUR_AGO)
    metrics = service.run("metrics", **service.environment()).stdout
    assert "\noddins_orphaned_runs 0.0\n" in metrics
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is Status.STARTED
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", run.job_name), run.run_id)
    instance.report_run_failed(found, "a neighbor's trouble")
    tick(instance, "sync_failure_sensor")
    assert service.query(LAST_ERRORS) == []


def test_only_our_own_old_runs_are_deleted(
    instance: dg.DagsterInstance, service: Service, other: str
) -> None:
    ours = {one.add(instance, other, Status.SUCCESS).run_id for one in OURS}
    foreign = {one.add(instance, other, Status.SUCCESS).run_id for one in FOREIGN}
    old = "UPDATE dagster.runs SET update_timestamp = now() - interval '91 days' RETURNING run_id"
    assert {run_id for (run_id,) in service.query(old)} == ours | foreign
    run = instance.create_run_for_job(prune_job(), remote_job_origin=origin(HERE, PRUNE_JOB))
    execute_run(dg.reconstructable(prune_job), run, instance)
    left = {run_id for (run_id,) in service.query("SELECT run_id FROM dagster.runs")}
    assert left == foreign | {run.run_id}


@pytest.mark.parametrize("run", OURS, ids=str)
def test_our_own_runs_are_failed_waited_for_and_recorded(
    instance: dg.DagsterInstance,
    service: Service,
    other: str,
    run: Neighbor,
) -> None:
    made = run.add(instance, other, Status.STARTED)
    assert f"a sync is started already: run {made.run_id[:8]}" in str(
        tick(instance, "catch_up_sensor").skip_message
    )
    assert made.run_id[:8] in str(tick(instance, "sync_failure_sensor").skip_message)
    assert "terminated unexpectedly" in service.query(LAST_ERRORS)[0][0]


def test_every_run_that_opens_a_session_names_its_database(
    instance: dg.DagsterInstance, other: str
) -> None:
    """A run that is re-executed after DATABASE_URL was changed has the tags of the first one."""
    job = build_definitions().resolve_job_def(SYNC_JOB)
    for tags in ({}, {DATABASE_TAG: other}):
        done = job.execute_in_process(instance=instance, tags=tags)
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        assert run.tags[DATABASE_TAG] == owner_of(os.environ["DATABASE_URL"]).database_id != other


def test_the_id_is_the_databases_whatever_its_name_or_else_by_its_address(
    service: Service,
) -> None:
    """A managed server may forbid to ask for the cluster's identifier."""
    renamed = f"{service.database.rpartition('/test_')[2].partition('?')[0]}_renamed"
    with psycopg.connect(service.database, autocommit=True) as connection:
        own, name = load_owner(connection).database_id, connection.info.dbname
    with psycopg.connect(at_database(service.database, "postgres"), autocommit=True) as admin:
        assert load_owner(admin).database_id != own
        admin.execute(f'ALTER DATABASE {name} RENAME TO "{renamed}"')
    with psycopg.connect(at_database(service.database, renamed), autocommit=True) as connection:
        assert load_owner(connection).database_id == own
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        connection.execute("CREATE ROLE restricted; SET ROLE restricted")
        assert len(load_owner(connection).database_id) == len(own) == 16
        assert load_owner(connection).database_id != own
        connection.execute("RESET ROLE; DROP ROLE restricted")
