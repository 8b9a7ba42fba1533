"""Sensors: thin shells around `pipeline`'s policies, each over one connection of its own."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.lists import ENTITIES
from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline.config.workspace import Workspace, load_workspace
from oddins_pipeline.database import backfills, revision
from oddins_pipeline.database.backfills import Request, StatusUpdate
from oddins_pipeline.database.connection import Connection, connect, database_errors
from oddins_pipeline.database.sync_state import last_full_sync
from oddins_pipeline.orchestration.failures import run_failure
from oddins_pipeline.orchestration.jobs import (
    BACKFILL_JOB,
    CLAIM_TAG,
    OWNERS,
    REQUEST_TAG,
    sync_job,
)
from oddins_pipeline.orchestration.ownership import Owner, load_owner
from oddins_pipeline.orchestration.runs import (
    fail_orphaned_runs,
    keys_of,
    record_run_failure,
    sync_in_progress,
)
from oddins_pipeline.orchestration.sync_jobs import SYNC_JOBS
from oddins_pipeline.pipeline.alerts import add_alerts
from oddins_pipeline.pipeline.backfill_policy import due, next_status, rejection_reason
from oddins_pipeline.pipeline.catch_up import CatchUpState, catch_up
from oddins_pipeline.pipeline.deliveries import deliver_due
from oddins_pipeline.pipeline.quota_policy import background_blocked_reason
from oddins_pipeline.pipeline.staleness import stale_after

MAX_CONCURRENT = 3
"""Backfills queued or running: enough to keep the queue busy, few enough to be overtaken."""

LOOK_BACK = timedelta(days=1)
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Tick:
    """What one tick of a sensor works with."""

    workspace: Workspace
    connection: Connection
    owner: Owner


@contextmanager
def open_tick(context: dg.SensorEvaluationContext, purpose: str) -> Iterator[Tick]:
    """An autocommit connection to the catalog, for one tick, which upgrades nothing. Raises
    OddinsError.
    """
    workspace = load_workspace(reads_only=True)
    with connect(workspace, purpose=purpose) as connection, database_errors():
        revision.ensure_current(connection, workspace, upgrade_itself=False)
        origin = context.code_location_origin
        owner = load_owner(connection, origin.location_name if origin else None)
        yield Tick(workspace, connection, owner)


def build_sensors(settings: AutomationSettings) -> list[dg.SensorDefinition]:
    """The sensors, running by themselves with ODDINS_AUTOMATION=on."""
    on = settings.automation == "on"
    status = dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED
    ours: dict[str, Any] = {"default_status": status, "owners": OWNERS}
    return [
        dg.SensorDefinition(
            name="backfill_requests_sensor",
            evaluation_fn=evaluate_backfills,
            job_name=BACKFILL_JOB,
            minimum_interval_seconds=30,
            **ours,
            description="Starts a backfill for each season in `backfill_requests`, and follows"
            " every request to done or failed.",
        ),
        dg.SensorDefinition(
            name="catch_up_sensor",
            evaluation_fn=evaluate_catch_up,
            jobs=list(SYNC_JOBS),
            minimum_interval_seconds=60,
            **ours,
            description="Requests a full sync of what is stale, with growing pauses; writes the"
            " events of a stale catalog and of a subscription that ends.",
        ),
        dg.SensorDefinition(
            name="sync_failure_sensor",
            evaluation_fn=evaluate_failures,
            minimum_interval_seconds=30,
            **ours,
            description="Records every run that terminated unexpectedly, or was never started, in"
            " `provider_sync_state`, and fails it when Dagster has not noticed.",
        ),
        dg.SensorDefinition(
            name="webhook_delivery_sensor",
            evaluation_fn=evaluate_deliveries,
            minimum_interval_seconds=30,
            **ours,
            description="Sends events to the webhook receivers, at least once and in order.",
        ),
        # The one that Dagster adds where none is does not follow the switch.
        dg.AutomationConditionSensorDefinition(
            name="automation_condition_sensor",
            target=dg.AssetSelection.all(),
            minimum_interval_seconds=60,
            default_status=status,
            description="Runs consumers' assets by their automation conditions.",
        ),
    ]


def evaluate_backfills(
    context: dg.SensorEvaluationContext,
) -> dg.SensorResult | dg.SkipReason:
    """Follows up what has begun, and begins what is due."""
    with open_tick(context, "backfill sensor") as tick:
        requests = _follow_up(context.instance, tick)
        reason = background_blocked_reason(tick.connection, LEAGUES)
        if reason is None:
            requests += _begin(tick)
    if requests:
        return dg.SensorResult(run_requests=requests)
    return dg.SkipReason(reason or "no request is due")


def evaluate_catch_up(
    context: dg.SensorEvaluationContext,
) -> dg.SensorResult | dg.SkipReason:
    """Writes the alerts' events, and requests a sync of each entity that is stale."""
    with open_tick(context, "catch-up sensor") as tick:
        settings = tick.workspace.settings
        synced = {e.name: last_full_sync(tick.connection, e) for e in ENTITIES}
        blocked = {e.name: background_blocked_reason(tick.connection, e) for e in ENTITIES}
        may_request = blocked[LEAGUES.name] is None
        now = tick.owner.now()
        add_alerts(tick.connection, tick.workspace, synced, now, may_request=may_request)
    stored = json.loads(context.cursor) if context.cursor else {}
    states, requests, reasons = stored.get("entities", {}), [], []
    for entity in ENTITIES:
        if synced[entity.name] is None and entity != LEAGUES:
            continue  # a list that was never requested is not wanted here
        reason = blocked[entity.name] or sync_in_progress(context.instance, tick.owner, entity)
        if reason is None:
            state = CatchUpState(**states.get(entity.name, {}))
            limit = stale_after(settings, entity)
            state, reason = catch_up(now, synced[entity.name], limit, state)
            states[entity.name] = asdict(state)
        if reason is None:
            # By the time: a cursor that was reset in the UI would count the same numbers again,
            # and Dagster skips the keys that it has seen.
            key = f"catch-up {entity.label} {state.at}"
            tags = tick.owner.tags
            requests.append(dg.RunRequest(run_key=key, job_name=sync_job(entity), tags=tags))
        else:
            reasons.append(f"{entity.label}: {reason}")
    context.update_cursor(json.dumps({"entities": states}))
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("; ".join(reasons))


def evaluate_failures(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Records failed runs, and fails orphaned ones."""
    seen = (context.cursor or "").split()
    with open_tick(context, "failure sensor") as tick:
        orphaned = fail_orphaned_runs(context.instance, tick.connection, tick.workspace, tick.owner)
        seen = _record_failed_runs(context.instance, tick, seen)
    context.update_cursor(" ".join(seen))
    failed = ", ".join(run_id[:8] for run_id in orphaned)
    return dg.SkipReason(f"failed {failed}" if orphaned else "no run terminated unexpectedly")


def evaluate_deliveries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Sends what receivers have not confirmed; a slow one delays no other sensor for long."""
    with open_tick(context, "delivery sensor") as tick:
        sent = deliver_due(tick.connection, tick.workspace.settings)
    return dg.SkipReason(f"sent {sent} events" if sent else "no event is due")


def _follow_up(instance: dg.DagsterInstance, tick: Tick) -> list[dg.RunRequest]:
    """Updates what has ended; requests again what was claimed and then never became a run."""
    lost = []
    for request in backfills.open_requests(tick.connection):
        if request.status != "running":
            continue
        run = next(iter(instance.get_runs(dg.RunsFilter(tags=_tags(request)), limit=1)), None)
        if run is None and not _reject(tick, request):
            lost.append(_run_request(tick, request))
        elif run is not None and run.is_finished:
            failure = run_failure(instance, run.run_id)
            pause = tick.workspace.settings.backfill_pause
            update = next_status(request, failure, pause=pause)
            backfills.update_status(tick.connection, request, update)
    return lost


def _begin(tick: Tick) -> list[dg.RunRequest]:
    begun = []
    now = tick.owner.now()
    requests = backfills.open_requests(tick.connection)
    for request in due(requests, now, max_concurrent=MAX_CONCURRENT):
        if _reject(tick, request):
            continue
        claimed = backfills.claim(tick.connection, request)
        if claimed is not None:
            begun.append(_run_request(tick, claimed))
    return begun


def _reject(tick: Tick, request: Request) -> bool:
    """Closes a request that no run can fulfil."""
    reason = rejection_reason(request)
    if reason is not None:
        update = StatusUpdate("failed", request.attempts, reason)
        backfills.update_status(tick.connection, request, update)
    return reason is not None


def _run_request(tick: Tick, request: Request) -> dg.RunRequest:
    """The same key for the same attempt: requested twice, it still becomes one run."""
    tags = _tags(request)
    return dg.RunRequest(
        run_key=f"backfill {request.id} claimed {tags[CLAIM_TAG]}",
        partition_key=str(request.season),
        tags={**tags, **tick.owner.tags},
    )


def _tags(request: Request) -> dict[str, str]:
    return {REQUEST_TAG: str(request.id), CLAIM_TAG: request.next_attempt_at.isoformat()}


def _record_failed_runs(
    instance: dg.DagsterInstance, tick: Tick, seen: Collection[str]
) -> list[str]:
    """Records the runs of the last day that have failed, without those `seen` before; returns the
    ids of all. No time decides: hosts whose clocks differ write the times of the runs.
    """
    since = datetime.now(timezone.utc) - LOOK_BACK
    failed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=FAILED, updated_after=since)):
        run = record.dagster_run
        if not tick.owner.owns(run) or not keys_of(run):
            continue
        failed.append(run.run_id)
        # One that was cancelled in the queue has failed at nothing.
        has_failed = record.start_time is not None or run.status is dg.DagsterRunStatus.FAILURE
        if has_failed and run.run_id not in seen:
            record_run_failure(instance, tick.connection, tick.workspace, run, tick.owner)
    return failed
