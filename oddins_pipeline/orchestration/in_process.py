"""Runs the job in this process, over a session that holds the lock already."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import dagster as dg
from dagster._core.instance import InstanceRef

from oddins_pipeline.config.dagster_home import dagster_home
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.requests import last_quota
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.failures import step_failure
from oddins_pipeline.orchestration.jobs import COMMAND_TAG, SYNC_JOB
from oddins_pipeline.orchestration.runs import fail_orphaned_runs
from oddins_pipeline.orchestration.session import RunSession, given_session
from oddins_pipeline.orchestration.storage import storage_errors
from oddins_pipeline.pipeline.sync import Session

TAGS = {
    COMMAND_TAG: "oddins sync leagues",
    # Without it the page lists such a run among all runs, but not on its job's own page.
    ".dagster/repository": "__repository__@oddins_pipeline.definitions",
}


class RunFailedError(OddinsError):
    """The run failed; the sentence is its first failed step's, which has logged it, and so is
    `run_outcome`.
    """

    reported = True

    def __init__(self, message: str, outcome: str = OddinsError.outcome) -> None:
        super().__init__(message)
        self.run_outcome = outcome


def run_sync_job(
    settings: Settings, session: Session, run_id: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Materializes the assets; the run is recorded in the instance of `dagster_home`.

    Raises RunFailedError.
    """
    run = RunSession(session)
    definitions = build_definitions(sync_session=given_session(run))
    job = definitions.resolve_job_def(SYNC_JOB)
    with storage_errors(), open_instance(settings) as instance, _without_gc():
        fail_orphaned_runs(instance, session.connection, settings, session.target)
        result = job.execute_in_process(
            run_config={
                "ops": {"raw_leagues": {"config": options}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            instance=instance,
            run_id=run_id,
            tags=TAGS,
            raise_on_error=False,
        )
        if not result.success:
            failed = step_failure(instance, run_id)
            if failed is None:
                raise RunFailedError("the run failed")
            raise RunFailedError(failed.message, failed.outcome)
    assert run.archived is not None
    assert run.counts is not None
    quota = last_quota(session.connection)
    return {
        "run_id": run_id,
        "payload_id": run.archived.payload.id,
        "sha256": run.archived.payload.sha256,
        "unchanged": run.archived.unchanged,
        "received": run.archived.payload.results,
        "counts": {table: asdict(count) for table, count in run.counts.items()},
        "quota_left": quota[0] if quota else None,
    }


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance without its log handlers: `oddins` writes its own lines to stderr."""
    home = dagster_home(settings)
    config = {"python_logs": {"managed_python_loggers": ["oddins_pipeline"]}}
    ref = InstanceRef.from_dir(str(home), overrides=config)
    with dg.DagsterInstance.from_ref(ref) as instance:
        yield instance


@contextmanager
def _without_gc() -> Iterator[None]:
    """One short run makes no garbage worth the passes over Dagster's object graph."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
