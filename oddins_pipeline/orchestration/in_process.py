"""Runs the job in this process, over a session that holds the lock already."""

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance import InstanceRef

from oddins_pipeline.database.requests import last_quota
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.failures import step_failure
from oddins_pipeline.orchestration.jobs import COMMAND_TAG, SYNC_JOB
from oddins_pipeline.orchestration.runs import end_dead_runs
from oddins_pipeline.orchestration.session import RunSession, given_session
from oddins_pipeline.settings import Settings
from oddins_pipeline.sync import Session

CONFIG = "dagster.yaml"
TAGS = {
    COMMAND_TAG: "oddins sync leagues",
    # Without it the page lists such a run among all runs, but not on its job's own page.
    ".dagster/repository": "__repository__@oddins_pipeline.definitions",
}


class RunFailedError(OddinsError):
    """The run failed; the sentence is its first failed step's."""


def run_sync_job(
    settings: Settings, session: Session, run_id: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Materializes the assets; the run is recorded in the instance of `dagster_home`.

    Raises RunFailedError.
    """
    run = RunSession(session)
    definitions = build_definitions(sync_session=given_session(run))
    job = definitions.resolve_job_def(SYNC_JOB)
    with open_instance(settings) as instance, _without_gc():
        end_dead_runs(instance, session.connection, settings, session.target)
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
            raise RunFailedError(failed.message if failed else "the run failed")
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


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME, else the one of the local state, made with our dagster.yaml in it."""
    named = os.environ.get("DAGSTER_HOME")
    if named:
        return Path(named).expanduser().absolute()
    home = settings.state_folder / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    source, copy = instance_config(), home / CONFIG
    if not copy.exists() or copy.read_bytes() != source.read_bytes():
        shutil.copyfile(source, copy)
    return home


def instance_config() -> Path:
    """Our dagster.yaml: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / CONFIG
    return inside if inside.is_file() else package.parent / CONFIG


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
