"""The runs of this code location, as the instance knows them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES, Entity, SyncKey
from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.catalog.steps import OURS, RAW, WRITES
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.errors import UNRECORDED
from oddins_pipeline.orchestration.failures import (
    TERMINATED,
    ended_steps,
    entity_failure,
    planned_steps,
)
from oddins_pipeline.orchestration.jobs import (
    ASSET_JOB,
    ASSETS,
    BACKFILL_JOB,
    SYNC_JOB,
    sync_job,
)
from oddins_pipeline.orchestration.ownership import CLOCK_TAG, Owner
from oddins_pipeline.pipeline.failures import store_failure
from oddins_pipeline.pipeline.league_sync import LeagueFilter
from oddins_pipeline.pipeline.session import APPLICATION

OPEN = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
GRACE_PERIOD = timedelta(seconds=20)
"""In this time a run has connected, or has failed to."""

MISSED_TAG = "oddins/missed_since"
"""The run, and the server's time at which it was first seen to run without a connection."""

# The first eight characters of the id of each run that has a connection here.
_CONNECTED_RUNS = """
SELECT split_part(application_name, ' ', 3) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE %s
"""


def sync_in_progress(instance: dg.DagsterInstance, owner: Owner, entity: Entity) -> str | None:
    """The sentence that a full sync of ours is queued or running; None when none is."""
    for run in instance.get_runs(dg.RunsFilter(statuses=OPEN)):
        if owner.owns(run) and SyncKey(entity) in keys_of(run) and _fetches(run, entity):
            return f"a sync is {run.status.value.lower()} already: run {run.run_id[:8]}"
    return None


def fail_orphaned_runs(
    instance: dg.DagsterInstance, connection: Connection, workspace: Workspace, owner: Owner
) -> list[str]:
    """Fails our runs that Dagster calls started but whose process is lost, and records it.

    Such a run would hold the queue's only place for good. Returns their ids.
    """
    connected = _connected(connection)
    orphaned = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS)):
        run = record.dagster_run
        if (
            owner.owns(run)
            and keys_of(run)
            and run.run_id[:8] not in connected
            and not _may_be_connecting(instance, run, owner.now())
            and not _is_with_consumers(instance, run)
            # It may have begun since the first look; one that ended since then is not in progress.
            and run.run_id[:8] not in _connected(connection)
        ):
            instance.report_run_failed(run, TERMINATED)
            record_run_failure(instance, connection, workspace, run, owner)
            orphaned.append(run.run_id)
    return orphaned


def _connected(connection: Connection) -> set[str]:
    return {name for (name,) in connection.execute(_CONNECTED_RUNS, (f"{APPLICATION} %",))}


def _may_be_connecting(instance: dg.DagsterInstance, run: dg.DagsterRun, now: datetime) -> bool:
    """Whether a run without a connection may not have come to open one: its own clock may be wrong,
    so the time counts from when it was first missed. One that did open it is lost.
    """
    if CLOCK_TAG in run.tags and run.parent_run_id is None:  # re-executed, it has its parent's tags
        return False
    missed, _, since = run.tags.get(MISSED_TAG, "").partition(" ")
    if missed != run.run_id:
        since = now.isoformat()
        instance.add_run_tags(run.run_id, {MISSED_TAG: f"{run.run_id} {since}"})
    return now - datetime.fromisoformat(since) < GRACE_PERIOD


def _is_with_consumers(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether our steps of the run have ended and others are left: it may lose its connection."""
    planned = planned_steps(instance, run)
    ours = planned & OURS
    return ours != planned and ours <= ended_steps(instance, run.run_id)


def record_run_failure(
    instance: dg.DagsterInstance,
    connection: Connection,
    workspace: Workspace,
    run: dg.DagsterRun,
    owner: Owner,
) -> None:
    """Stores why the run failed each of its entities in `provider_sync_state`, with the time at
    which it happened, by the server's clock.
    """
    for key in keys_of(run):
        failure = entity_failure(instance, run, key.entity)
        if failure is not None and failure.code not in UNRECORDED:
            if failure.at is not None:
                failure = replace(failure, at=owner.server_time(failure.at, run))
            store_failure(connection, workspace, failure, [key], run.run_id)


def keys_of(run: dg.DagsterRun) -> list[SyncKey]:
    """The syncs that the run consists of; none when it does not write the catalog."""
    if run.job_name == BACKFILL_JOB:
        return [SyncKey(LEAGUES, full=False)]
    keys = []
    if run.job_name == SYNC_JOB or _selects(run, ASSETS):
        keys.append(SyncKey(LEAGUES, full=not _is_filtered(run)))
    keys += [
        SyncKey(spec.entity)
        for spec in LISTS
        if run.job_name == sync_job(spec.entity) or _selects(run, (spec.name,))
    ]
    # Re-executed from a consumer's failure, it keeps the selection but not our steps.
    steps = run.step_keys_to_execute
    return [key for key in keys if steps is None or WRITES[key.entity.name].intersection(steps)]


def _is_filtered(run: dg.DagsterRun) -> bool:
    ops: dict[str, dict[str, Any]] = dict(run.run_config).get("ops") or {}  # type: ignore[assignment]
    config = ops.get(RAW, {}).get("config") or {}
    return any(config.get(name) for name in LeagueFilter.__dataclass_fields__)


def _fetches(run: dg.DagsterRun, entity: Entity) -> bool:
    """Whether it requests the list, rather than publish what is archived."""
    return entity != LEAGUES or run.job_name == SYNC_JOB or _selects(run, (RAW,))


def _selects(run: dg.DagsterRun, names: Sequence[str]) -> bool:
    if run.job_name != ASSET_JOB:
        return False
    selected = run.asset_selection
    return selected is None or any(dg.AssetKey(name) in selected for name in names)
