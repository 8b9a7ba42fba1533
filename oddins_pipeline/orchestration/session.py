"""Resources: `sync_session` (the run's lock and connection) and `api_football`.

Both read the settings when a run starts and hold no secret as a field. A set-up that fails
yields a session that refuses: its first use in a step fails with one sentence, because an
exception in a resource's set-up would be a RUN_EXCEPTION with two traces, repeated by retries.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from oddins_pipeline import __version__
from oddins_pipeline.catalog.entities import Entity, SyncKey
from oddins_pipeline.catalog.steps import CHECK_STEPS, OURS, WRITES
from oddins_pipeline.config.workspace import Workspace, load_workspace
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.merge import TableCounts
from oddins_pipeline.database.payloads import Payload
from oddins_pipeline.database.pool import reading
from oddins_pipeline.errors import InterruptedSyncError, OddinsError
from oddins_pipeline.logs import LOGGER, ForwardingHandler, set_run
from oddins_pipeline.orchestration.failures import (
    ExpectedFailureError,
    planned_steps,
    step_failure,
)
from oddins_pipeline.orchestration.jobs import PAYLOAD_TAG, VERSION_TAG
from oddins_pipeline.orchestration.ownership import Owner, load_owner, location_of
from oddins_pipeline.orchestration.runs import fail_orphaned_runs, keys_of
from oddins_pipeline.orchestration.storage_session import interruption
from oddins_pipeline.pipeline.failures import RunFailure, record_failure
from oddins_pipeline.pipeline.session import Session, open_session
from oddins_pipeline.pipeline.sync import Publication, Sync
from oddins_pipeline.provider.client import ApiFootball

logger = logging.getLogger(__name__)


@dataclass
class EntityProgress:
    """How far one entity of the run has come."""

    sync: Sync[Any] | None = None
    payload: Payload | None = None
    counts: TableCounts | None = None
    row_counts: dict[str, int] = field(default_factory=dict)
    publish_seconds: float = 0.0
    error: OddinsError | None = None
    failed_at: datetime | None = None


@dataclass
class RunSession:
    """What the steps of one run share: the session, which the first catalog step opens, or why
    there is none. After the last of `steps`, the catalog's in this run, the lock is given back.
    """

    opened: Session | None
    opening: Callable[[], Session] | None = None
    steps: set[str] = field(default_factory=set)
    refusal: OddinsError | None = None
    progress: dict[str, EntityProgress] = field(default_factory=dict)
    owner: Owner | None = None

    @property
    def session(self) -> Session:
        """The session. Raises its refusal when there is none."""
        if self.refusal is not None:
            raise self.refusal
        if self.opened is None:
            assert self.opening is not None
            try:
                self.opened = self.opening()
            except OddinsError as error:
                self.refusal = error
                raise
        return self.opened

    @property
    def workspace(self) -> Workspace:
        """The session's; in a run without one, what reading needs. Raises UsageError."""
        return self.opened.workspace if self.opened else load_workspace(reads_only=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The session's connection when it is open and free, else a pooled one: takes no lock."""
        with self.opened.reading() if self.opened else reading(self.workspace) as connection:
            yield connection

    def finish(self, *steps: str) -> None:
        """These steps are done, or will not run."""
        if self.steps.intersection(steps):
            self.steps.difference_update(steps)
            if self.opened is not None and not self.steps:
                self.opened.release()

    def of(self, entity: Entity) -> EntityProgress:
        """The progress of one entity."""
        return self.progress.setdefault(entity.name, EntityProgress())

    @contextmanager
    def step_of(self, entity: Entity) -> Iterator[EntityProgress]:
        """Part of an entity's step: its errors are kept, and become Dagster's failure."""
        progress = self.of(entity)
        try:
            yield progress
        except BaseException as error:
            self.finish(*WRITES[entity.name], CHECK_STEPS[entity.name])
            if isinstance(error, dg.DagsterExecutionInterruptedError):
                interruption.note()
            if not isinstance(error, OddinsError):
                raise
            progress.error, progress.failed_at = error, datetime.now(timezone.utc)
            raise ExpectedFailureError(error) from None

    def publish(self, publication: Publication[Any]) -> EntityProgress:
        """Publishes the batch once, however many of its tables ask. Raises OddinsError."""
        progress = self.of(publication.payload.entity)
        if progress.counts is None:
            assert progress.sync is not None
            progress.counts = progress.sync.publish(publication)
        return progress


@dg.resource(
    config_schema={
        "lock_timeout": dg.Field(
            float,
            is_required=False,
            description="Seconds to wait for the lock before giving up; by default"
            " ODDINS_LOCK_TIMEOUT.",
        )
    },
    description="The run's advisory lock and the one connection that it writes with.",
)
def sync_session(context: dg.InitResourceContext) -> Iterator[RunSession]:
    """The session, opened by the first catalog step; records the run's failures at its end."""
    assert context.run is not None
    assert context.instance is not None
    instance, dagster_run, run_id = context.instance, context.run, context.run.run_id
    set_run(dagster_run.job_name, run_id)
    forward = _forwarding(context) if LOGGER not in instance.managed_python_loggers else None
    keys = keys_of(dagster_run)
    workspace: Workspace | None = None
    with forward or nullcontext(), ExitStack() as stack:

        def opening() -> Session:
            nonlocal workspace
            workspace = load_workspace()
            wait = context.resource_config.get("lock_timeout", workspace.settings.lock_timeout)
            session = stack.enter_context(open_session(workspace, run_id=run_id, lock_timeout=wait))
            run.owner = owner = load_owner(session.connection, location_of(dagster_run))
            owner.adopt(instance, dagster_run)
            fail_orphaned_runs(instance, session.connection, workspace, owner)
            return session

        steps = planned_steps(instance, dagster_run) & OURS
        run = RunSession(None, opening, set(steps))
        yield run
        stack.close()
        tag_run(instance, run_id, run)
        if workspace is not None:
            _record_failures(instance, workspace, run, keys, run_id)


def tag_run(instance: dg.DagsterInstance, run_id: str, run: RunSession) -> None:
    """Names what the run published, and by which version, in its tags."""
    if ids := [
        str(each.payload.id) for each in run.progress.values() if each.counts and each.payload
    ]:
        instance.add_run_tags(run_id, {PAYLOAD_TAG: ",".join(ids), VERSION_TAG: __version__})


@contextmanager
def _forwarding(context: dg.InitResourceContext) -> Iterator[None]:
    """Brings the core's log lines, with their row counts, into the run's log where no dagster.yaml
    does (`managed_python_loggers`).
    """
    assert context.log is not None
    handler, core = ForwardingHandler(context.log), logging.getLogger(LOGGER)
    level = core.level
    core.addHandler(handler)
    core.setLevel(min(core.getEffectiveLevel(), logging.INFO))
    try:
        yield
    finally:
        core.removeHandler(handler)
        core.setLevel(level)


def _record_failures(
    instance: dg.DagsterInstance,
    workspace: Workspace,
    run: RunSession,
    keys: list[SyncKey],
    run_id: str,
) -> None:
    """Each entity's own error; what belongs to none (an interrupt, a fault of this code) for each
    entity that has not finished. Other assets of the run may fail as they like.
    """
    for key in keys:
        progress, steps = run.of(key.entity), WRITES[key.entity.name]
        if progress.counts is not None:
            continue
        error = progress.error or run.refusal
        failure = RunFailure.of(error, progress.failed_at) if error is not None else None
        failure = failure or step_failure(instance, run_id, steps)
        if failure is None and steps & run.steps:
            other = step_failure(instance, run_id)
            failure = other if other and other.code == InterruptedSyncError.code else None
        if failure is not None:
            at = run.owner.server_time(failure.at) if run.owner and failure.at else None
            age = run.opened.age if run.opened else None
            record_failure(workspace, replace(failure, at=at, session_age=age), [key], run_id)


def given_session(run: RunSession) -> dg.ResourceDefinition:
    """A resource over a session that is open already: the command line's."""
    return dg.ResourceDefinition.hardcoded_resource(run)


@dg.resource(
    required_resource_keys={"sync_session"},
    description="API-Football, or the sample provider; opened at the first request.",
)
def api_football(context: dg.InitResourceContext) -> Iterator[Callable[[], ApiFootball]]:
    """Yields a function that opens the client once; closed with the run."""
    run: RunSession = context.resources.sync_session
    with ExitStack() as stack:
        opened: list[ApiFootball] = []

        def client() -> ApiFootball:
            if not opened:
                opened.append(stack.enter_context(run.session.provider()))
            return opened[0]

        yield client
