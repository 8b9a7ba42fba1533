"""The runs of this code location, as the instance knows them."""

import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import Target
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.publish import FULL, PARTIAL, TABLES
from oddins_pipeline.logs import sanitize
from oddins_pipeline.orchestration.failures import DIED, run_failure
from oddins_pipeline.orchestration.jobs import ASSET_JOB, BACKFILL_JOB, COMMAND_TAG, SYNC_JOB
from oddins_pipeline.pipeline.backfill_policy import FREE, is_orphaned
from oddins_pipeline.pipeline.failure_recorder import store_failure
from oddins_pipeline.pipeline.notifications import notify_failure
from oddins_pipeline.pipeline.sync import APPLICATION, LeagueFilter

RAW = "raw_leagues"
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
GRACE_PERIOD = 20.0
"""Seconds in which a run has connected, or has failed to."""


def sync_in_progress(instance: dg.DagsterInstance) -> str | None:
    """The sentence that a full sync is queued or running; None when none is."""
    for run in instance.get_runs(dg.RunsFilter(statuses=OPEN)):
        if _fetches(run):
            return f"a sync is {run.status.value.lower()} already: run {run.run_id[:8]}"
    return None


def fail_orphaned_runs(
    instance: dg.DagsterInstance, connection: Connection, settings: Settings, target: Target
) -> list[str]:
    """Ends the runs that Dagster calls started but that are no longer alive, and records it.

    Such a run would hold the queue's only place for good. Returns their ids.
    """
    connected = _connected_runs(connection)
    now = datetime.now(timezone.utc)
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS)):
        run = record.dagster_run
        # Run again from the page, it keeps the tag and is no command's any more.
        by_command = COMMAND_TAG in run.tags and run.parent_run_id is None
        grace_period = 0.0 if by_command else GRACE_PERIOD
        started_at = (
            datetime.fromtimestamp(record.start_time, timezone.utc)
            if record.start_time
            else record.create_timestamp
        )
        if is_ours(run) and is_orphaned(
            started_at=started_at,
            now=now,
            connected=run.run_id[:8] in connected,
            grace_period=grace_period,
        ):
            instance.report_run_failed(run, DIED)
            record_run_failure(instance, connection, settings, target, run)
            dead.append(run.run_id)
    return dead


def record_run_failure(
    instance: dg.DagsterInstance,
    connection: Connection,
    settings: Settings,
    target: Target,
    run: dg.DagsterRun,
) -> None:
    """Keeps the run's failure in `provider_sync_state`, with the time at which it happened."""
    ended = run_failure(instance, run.run_id)
    if ended.outcome in FREE:
        return
    message, entity = sanitize(ended.message), entity_of(run)
    news = store_failure(
        connection, settings, target, message, entity=entity, run_id=run.run_id, at=ended.at
    )
    if news:
        facts = {"outcome": ended.outcome, "entity": entity, "run_id": run.run_id}
        # Whoever calls this may hold the lock: the notice goes on its own way.
        threading.Thread(target=notify_failure, args=(settings, message), kwargs=facts).start()


def is_ours(run: dg.DagsterRun) -> bool:
    """Whether the run writes the catalog, and so is connected for as long as it lives."""
    if run.job_name in {SYNC_JOB, BACKFILL_JOB}:
        return True
    return run.job_name == ASSET_JOB and _selects(run, (RAW, *TABLES))


def entity_of(run: dg.DagsterRun) -> str:
    """Whose sync state the run speaks of."""
    ops: dict[str, dict[str, Any]] = dict(run.run_config).get("ops") or {}  # type: ignore[assignment]
    config = ops.get(RAW, {}).get("config") or {}
    filtered = any(config.get(name) for name in LeagueFilter.__dataclass_fields__)
    return PARTIAL if run.job_name == BACKFILL_JOB or filtered else FULL


def _fetches(run: dg.DagsterRun) -> bool:
    return run.job_name == SYNC_JOB or (run.job_name == ASSET_JOB and _selects(run, (RAW,)))


def _selects(run: dg.DagsterRun, names: Sequence[str]) -> bool:
    selected = run.asset_selection
    return selected is None or any(dg.AssetKey(name) in selected for name in names)


def _connected_runs(connection: Connection) -> set[str]:
    """The first eight characters of the id of each run that has a connection here."""
    rows = connection.execute(
        "SELECT split_part(application_name, ' ', 3) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE %s",
        (f"{APPLICATION} %",),
    )
    return {str(name) for (name,) in rows}
