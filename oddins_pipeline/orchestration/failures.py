"""Failures on their way into Dagster and out of it again."""

import logging
from collections.abc import Sequence
from datetime import datetime, timezone

import dagster as dg

from oddins_pipeline.errors import InterruptedSyncError, OddinsError
from oddins_pipeline.logs import redact, sanitize
from oddins_pipeline.pipeline.backfill_policy import RunFailure

logger = logging.getLogger(__name__)

DIED = "the run died without a word: it was killed, or its machine is gone"
_INTERRUPTED = InterruptedSyncError()
_INTERRUPTS = {dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__}
TERMINAL_EVENTS = {
    dg.DagsterEventType.RUN_FAILURE: "failed",
    dg.DagsterEventType.RUN_CANCELED: "cancelled",
}


def to_dagster_failure(error: OddinsError) -> dg.Failure:
    """The run's failure: the sentence, and fields that a sensor can tell apart; logged."""
    fields: dict[str, str | bool] = {"outcome": error.outcome, "passing": error.retryable}
    logger.error(redact(str(error)), extra=fields)
    return dg.Failure(description=redact(str(error)), metadata=fields, allow_retries=False)


def step_failure(instance: dg.DagsterInstance, run_id: str) -> RunFailure | None:
    """The run's first failed step: it covers fetch, refusal, transaction, SIGTERM and cancel."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if entry.dagster_event is not None:
            return _of_step(entry.dagster_event, entry.timestamp)
    return None


def run_failure(instance: dg.DagsterInstance, run_id: str) -> RunFailure:
    """How a run ended that did not succeed; `at` is its last sign of life."""
    failed = step_failure(instance, run_id)
    if failed is not None:
        return failed
    events = instance.all_logs(run_id)
    outcome, message = "failed", DIED
    for entry in events:
        event = entry.dagster_event
        if event is not None and event.event_type in TERMINAL_EVENTS:
            outcome = TERMINAL_EVENTS[event.event_type]
            message = sanitize(event.message or f"the run {outcome}")
    return RunFailure(outcome, message, last_event_at(events))


def last_event_at(events: Sequence[dg.EventLogEntry]) -> datetime | None:
    """Before what the daemon wrote about the run: its verdict may come long after."""
    alive = [entry.timestamp for entry in events if not _is_about_the_end(entry)]
    return _moment(max(alive)) if alive else None


def _is_about_the_end(entry: dg.EventLogEntry) -> bool:
    event = entry.dagster_event
    return event is not None and (event.event_type in TERMINAL_EVENTS or event.is_engine_event)


def _of_step(event: dg.DagsterEvent, timestamp: float) -> RunFailure:
    data = event.step_failure_data
    told = data.user_failure_data
    if told is not None and told.description:
        outcome = told.metadata.get("outcome")
        name = str(outcome.value) if outcome is not None else "failed"
        return RunFailure(name, sanitize(told.description), _moment(timestamp))
    cause = data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    if cause is not None and cause.cls_name in _INTERRUPTS:
        return RunFailure(_INTERRUPTED.outcome, str(_INTERRUPTED), _moment(timestamp))
    message = sanitize(cause.message) if cause is not None else "the step failed"
    return RunFailure("failed", message, _moment(timestamp))


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)
