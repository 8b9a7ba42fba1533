"""Failures on their way into Dagster, and out of its event log in another process."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from oddins_pipeline.catalog.entities import Entity
from oddins_pipeline.catalog.steps import WRITES
from oddins_pipeline.errors import InterruptedSyncError, LaunchError, OddinsError
from oddins_pipeline.logs import redact, sanitize
from oddins_pipeline.pipeline.failures import RunFailure

TERMINATED = "the run terminated unexpectedly: its process was killed or its host was lost"
_INTERRUPTED = RunFailure.of(InterruptedSyncError())
_INTERRUPTS = {dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__}
_STOCK = "This run has been marked as "
"""How Dagster's text of an end begins when nobody gave one: what happened is in an event before."""

TERMINAL_EVENTS = {
    dg.DagsterEventType.RUN_FAILURE: "failed",
    dg.DagsterEventType.RUN_CANCELED: "cancelled",
}


class ExpectedFailureError(DagsterUserCodeProcessError, dg.Failure):
    """A step's failure: the sentence, and fields that a sensor can distinguish.

    Dagster shows an error of another process as that process reported it: here without a trace.
    """

    def __init__(self, error: OddinsError) -> None:
        message = redact(str(error))
        super().__init__(  # type: ignore[no-untyped-call]
            message,
            {"code": error.code, "retryable": error.retryable},
            allow_retries=False,
            user_code_process_error_infos=[
                SerializableErrorInfo(message, [], type(error).__name__)
            ],
        )


def step_failure(
    instance: dg.DagsterInstance, run_id: str, steps: frozenset[str] | None = None
) -> RunFailure | None:
    """The run's first failed step, of `steps` if given."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is not None and (steps is None or event.step_key in steps):
            return _of_step(event, entry.timestamp)
    return None


def planned_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> frozenset[str]:
    """The steps that the run is to execute."""
    assert run.execution_plan_snapshot_id is not None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return frozenset(plan.step_keys_to_execute)


def ended_steps(instance: dg.DagsterInstance, run_id: str) -> frozenset[str]:
    """The steps of the run that succeeded, failed or were skipped."""
    kinds = {
        dg.DagsterEventType.STEP_SUCCESS,
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.STEP_SKIPPED,
    }
    return frozenset(entry.step_key or "" for entry in instance.all_logs(run_id, of_type=kinds))


def entity_failure(
    instance: dg.DagsterInstance, run: dg.DagsterRun, entity: Entity
) -> RunFailure | None:
    """How a run of another process failed an entity; None when the entity's steps succeeded,
    whatever became of the others.
    """
    steps = WRITES[entity.name]
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    done = {entry.step_key for entry in entries}
    if planned_steps(instance, run) & steps <= done:
        return None
    return run_failure(instance, run.run_id, steps)


def run_failure(
    instance: dg.DagsterInstance, run_id: str, steps: frozenset[str] | None = None
) -> RunFailure:
    """How a run of another process ended without success: by one of `steps`, if given, else as a
    whole; then `at` is its last event.
    """
    failed = step_failure(instance, run_id, steps)
    if failed is not None:
        return failed
    events = instance.all_logs(run_id)
    if not any(_has_type(entry, dg.DagsterEventType.RUN_START) for entry in events):
        failure = RunFailure.of(LaunchError(_launch_cause(events)))
        return replace(failure, at=last_event_at(events))
    code, message = "failed", TERMINATED
    for entry in events:
        event = entry.dagster_event
        if event is not None and event.event_type in TERMINAL_EVENTS:
            code = TERMINAL_EVENTS[event.event_type]
            message = sanitize(event.message or f"the run {code}")
    return RunFailure(code, message, last_event_at(events))


def _has_type(entry: dg.EventLogEntry, kind: dg.DagsterEventType) -> bool:
    return entry.dagster_event is not None and entry.dagster_event.event_type is kind


def _launch_cause(entries: Sequence[dg.EventLogEntry]) -> str:
    """What ended the run, or else what the launcher or the queue reported, errors first."""
    events = [entry.dagster_event for entry in reversed(entries) if entry.dagster_event]
    ends = [event.message or _STOCK for event in events if event.event_type in TERMINAL_EVENTS]
    reports = [event for event in events if event.is_engine_event]
    errors = [
        f"{event.message}: {event.engine_event_data.error.message}"
        for event in reports
        if event.engine_event_data.error
    ]
    own = [end for end in ends if not end.startswith(_STOCK)]
    return next(
        iter([*own, *errors, *(event.message or "" for event in reports), *ends]), TERMINATED
    )


def last_event_at(events: Sequence[dg.EventLogEntry]) -> datetime | None:
    """When the run last logged something itself: the daemon may write about it long after."""
    times = [entry.timestamp for entry in events if not _is_about_the_end(entry)]
    return _moment(max(times)) if times else None


def _is_about_the_end(entry: dg.EventLogEntry) -> bool:
    event = entry.dagster_event
    return event is not None and (event.event_type in TERMINAL_EVENTS or event.is_engine_event)


def _of_step(event: dg.DagsterEvent, timestamp: float) -> RunFailure:
    data = event.step_failure_data
    ours = data.user_failure_data
    if ours is not None and ours.description:
        code = ours.metadata.get("code")
        name = str(code.value) if code is not None else "failed"
        return RunFailure(name, sanitize(ours.description), _moment(timestamp))
    cause = data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    if cause is not None and cause.cls_name in _INTERRUPTS:
        return RunFailure(_INTERRUPTED.code, _INTERRUPTED.message, _moment(timestamp))
    message = sanitize(cause.message) if cause is not None else "the step failed"
    return RunFailure("failed", message, _moment(timestamp))


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)
