"""`prune_runs`: Dagster's own runs and events grow without bound unless they are deleted."""

from datetime import datetime, timedelta, timezone

import dagster as dg

from oddins_pipeline.config.settings import load_settings
from oddins_pipeline.orchestration.jobs import OWNERS, PRUNE_JOB

FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
MAX_CONCURRENT = 500


def prune(instance: dg.DagsterInstance, *, before: datetime) -> int:
    """Deletes finished runs last updated before then, and their events; returns how many.

    Runs that hold an asset's newest materialization stay: its data version is read from there.
    """
    kept = _newest_materializations(instance)
    old = dg.RunsFilter(statuses=FINISHED, updated_before=before)
    deleted = 0
    while True:
        found = [run.run_id for run in instance.get_runs(old, limit=MAX_CONCURRENT + len(kept))]
        found = [run_id for run_id in found if run_id not in kept]
        if not found:
            return deleted
        for run_id in found:
            instance.delete_run(run_id)
        deleted += len(found)


def _newest_materializations(instance: dg.DagsterInstance) -> set[str]:
    events = (instance.get_latest_materialization_event(key) for key in instance.get_asset_keys())
    return {event.run_id for event in events if event is not None}


@dg.op(out=dg.Out(dg.Nothing))
def prune_old_runs(context: dg.OpExecutionContext) -> None:
    """Deletes what is past ODDINS_KEEP_RUNS_DAYS."""
    days = load_settings().keep_runs_days
    deleted = prune(context.instance, before=datetime.now(timezone.utc) - timedelta(days=days))
    context.log.info(f"{deleted} runs older than {days} days deleted")


@dg.job(
    name=PRUNE_JOB,
    description="Deletes Dagster's runs and their events past ODDINS_KEEP_RUNS_DAYS.",
    tags={"dagster/priority": "-20"},
    owners=OWNERS,
)
def prune_runs() -> None:
    """One op."""
    prune_old_runs()
