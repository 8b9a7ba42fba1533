"""`prune_runs`: Dagster's own runs and events grow without bound unless they are deleted."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg

from oddins_pipeline.config.workspace import load_workspace
from oddins_pipeline.database.connection import connect
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.failures import ExpectedFailureError
from oddins_pipeline.orchestration.jobs import OWNERS, PRUNE_JOB
from oddins_pipeline.orchestration.ownership import Owner, load_owner, location_of

FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
PAGE = 500


def prune(instance: dg.DagsterInstance, owner: Owner, *, before: datetime) -> int:
    """Deletes our finished runs last updated before then, and their events; returns how many.

    Runs that hold an asset's newest materialization stay: its data version is read from there.
    """
    kept = _newest_materializations(instance)
    found = [run_id for run_id in _finished(instance, owner, before) if run_id not in kept]
    for run_id in found:
        instance.delete_run(run_id)
    return len(found)


def _finished(instance: dg.DagsterInstance, owner: Owner, before: datetime) -> Iterator[str]:
    old = dg.RunsFilter(statuses=FINISHED, updated_before=before)
    cursor = None
    while page := instance.get_runs(old, cursor=cursor, limit=PAGE):
        yield from (run.run_id for run in page if owner.owns(run))
        cursor = page[-1].run_id


def _newest_materializations(instance: dg.DagsterInstance) -> set[str]:
    events = (instance.get_latest_materialization_event(key) for key in instance.get_asset_keys())
    return {event.run_id for event in events if event is not None}


@dg.op(out=dg.Out(dg.Nothing))
def prune_old_runs(context: dg.OpExecutionContext) -> None:
    """Deletes what is past ODDINS_KEEP_RUNS_DAYS."""
    try:
        workspace = load_workspace(reads_only=True)
        with connect(workspace, purpose="pruning") as connection:
            owner = load_owner(connection, location_of(context.run))
    except OddinsError as error:
        raise ExpectedFailureError(error) from None
    days = workspace.settings.keep_runs_days
    deleted = prune(context.instance, owner, before=owner.now() - timedelta(days=days))
    context.log.info(f"{deleted} runs older than {days} days deleted")


@dg.job(
    name=PRUNE_JOB,
    description="Deletes our runs and their events past ODDINS_KEEP_RUNS_DAYS.",
    tags={"dagster/priority": "-20"},
    owners=OWNERS,
)
def prune_runs() -> None:
    """One op."""
    prune_old_runs()
