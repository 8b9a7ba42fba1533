"""Runs a job in this process, over a session that holds the lock already."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.instance import InstanceRef

from oddins_pipeline.catalog.entities import Entity
from oddins_pipeline.config.dagster_home import dagster_home
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.readiness import require_connection
from oddins_pipeline.errors import OddinsError, RunFailedError
from oddins_pipeline.orchestration.failures import step_failure
from oddins_pipeline.orchestration.jobs import COMMAND_TAG
from oddins_pipeline.orchestration.ownership import load_owner
from oddins_pipeline.orchestration.runs import fail_orphaned_runs
from oddins_pipeline.orchestration.session import RunSession, tag_run
from oddins_pipeline.orchestration.storage import storage_errors
from oddins_pipeline.pipeline.sync import SyncResult


def run_job(
    job: dg.JobDefinition, run: RunSession, entity: Entity, *, command: str, ops: dict[str, Any]
) -> SyncResult:
    """Materializes the job's assets; the run is recorded in the instance of `dagster_home`.

    Raises the OddinsError that failed the run, or RunFailedError.
    """
    session, workspace = run.session, run.session.workspace
    assert session.run_id is not None
    with storage_errors(), open_instance(workspace.settings) as instance:
        owner = load_owner(session.connection)
        fail_orphaned_runs(instance, session.connection, workspace, owner)
        require_connection(session.connection)
        result = job.execute_in_process(
            run_config={
                "ops": ops,
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            instance=instance,
            run_id=session.run_id,
            tags={
                **owner.session_tags,
                COMMAND_TAG: command,
                # Without it the UI lists such a run among all runs, but not on its job's own page.
                ".dagster/repository": "__repository__@oddins_pipeline.definitions",
            },
            raise_on_error=False,
        )
        tag_run(instance, session.run_id, run)
        if not result.success:
            raise run.of(entity).error or _unexpected(instance, session.run_id)
    gc.freeze()  # at exit, the collector would look at all of Dagster's graph once more
    progress = run.of(entity)
    assert progress.sync is not None
    assert progress.payload is not None
    assert progress.counts is not None
    return progress.sync.result(progress.payload, progress.counts)


def _unexpected(instance: dg.DagsterInstance, run_id: str) -> OddinsError:
    failure = step_failure(instance, run_id)
    return RunFailedError(failure.message if failure else "the run failed")


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance without its log handlers: `oddins` writes its own lines to stderr. Nor is
    output captured: stderr would be no terminal meanwhile, and Ctrl-C would kill the helpers that
    copy it, with a trace of each.
    """
    home = dagster_home(settings)
    config = {
        "python_logs": {"managed_python_loggers": ["oddins_pipeline"]},
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
    }
    ref = InstanceRef.from_dir(str(home), overrides=config)
    with dg.DagsterInstance.from_ref(ref) as instance:
        yield instance
