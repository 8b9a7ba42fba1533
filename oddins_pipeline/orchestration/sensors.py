"""Sensors: thin shells around `decisions`, each over one connection of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone

import dagster as dg

from oddins_pipeline.config.settings import Settings, load_settings
from oddins_pipeline.config.target import Target, choose_target, database_url
from oddins_pipeline.database import backfills, revision
from oddins_pipeline.database.backfills import Request, StatusUpdate
from oddins_pipeline.database.connection import Connection, connect, database_errors
from oddins_pipeline.database.sync_state import last_full_sync
from oddins_pipeline.logs import register_secrets
from oddins_pipeline.orchestration.failures import run_failure
from oddins_pipeline.orchestration.jobs import (
    BACKFILL_JOB,
    CLAIM_TAG,
    REQUEST_TAG,
    SYNC_JOB,
    automation_is_on,
)
from oddins_pipeline.orchestration.runs import (
    fail_orphaned_runs,
    is_ours,
    record_run_failure,
    sync_in_progress,
)
from oddins_pipeline.pipeline.alerts import subscription_warning
from oddins_pipeline.pipeline.backfill_policy import (
    CatchUpState,
    catch_up,
    due,
    next_status,
    rejection_reason,
)
from oddins_pipeline.pipeline.notifications import AlertState, send_alerts
from oddins_pipeline.pipeline.quota_policy import background_blocked_reason

MAX_CONCURRENT = 3
"""Backfills in the queue or at work: enough to keep it busy, few enough to be overtaken."""

LOOK_BACK = timedelta(days=1)
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Catalog:
    """What a tick works with."""

    settings: Settings
    target: Target
    connection: Connection


@contextmanager
def open_catalog(purpose: str) -> Iterator[Catalog]:
    """An autocommit connection to the catalog, for one tick. Raises OddinsError."""
    settings = load_settings()
    register_secrets(settings.secrets)
    target = choose_target(settings, reads_only=True)
    url = database_url(settings, target)
    with connect(url, settings, purpose=purpose) as connection, database_errors():
        revision.ensure_current(connection, url=url, upgrade_itself=settings.app_env == "local")
        yield Catalog(settings, target, connection)


def build_sensors() -> list[dg.SensorDefinition]:
    """The three sensors, running by themselves with ODDINS_AUTOMATION=on."""
    on = automation_is_on()
    status = dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        job_name=BACKFILL_JOB,
        minimum_interval_seconds=15,
        default_status=status,
        description="Starts a backfill for each season that somebody asks for in"
        " `backfill_requests`, and sees every request through to done or failed.",
    )
    def backfill_requests_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        with open_catalog("backfill sensor") as catalog:
            requests = _follow_up(context.instance, catalog)
            blocked_reason = background_blocked_reason(catalog.connection)
            if blocked_reason is None:
                requests += _begin(catalog)
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SkipReason(blocked_reason or "no request is due")

    @dg.sensor(
        job_name=SYNC_JOB,
        minimum_interval_seconds=30,
        default_status=status,
        description="Asks for a full sync when the last one is stale, with growing pauses; tells"
        " the webhook of a stale catalog and of a subscription that ends.",
    )
    def catch_up_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        with open_catalog("catch-up sensor") as catalog:
            synced_at = last_full_sync(catalog.connection)
            blocked_reason = background_blocked_reason(catalog.connection)
            ending_soon = subscription_warning(
                catalog.connection, catalog.settings, catalog.target, may_ask=blocked_reason is None
            )
        reason = blocked_reason or sync_in_progress(context.instance)
        # The connection is closed: the receiver may be slow.
        told = send_alerts(
            catalog.settings,
            _told(context.cursor),
            last_synced_at=synced_at,
            subscription=ending_soon,
        )
        asked = _asked(context.cursor)
        context.update_cursor(_cursor(asked, told))
        if reason is not None:
            return dg.SkipReason(reason)
        stale_after = timedelta(hours=catalog.settings.stale_after_hours)
        asked, reason = catch_up(datetime.now(timezone.utc), synced_at, stale_after, asked)
        context.update_cursor(_cursor(asked, told))
        if reason is not None:
            return dg.SkipReason(reason)
        # By the moment: a cursor that was reset on the page would count the same times again, and
        # Dagster would skip the keys that it has seen.
        key = f"catch-up {asked.at}"
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key)])

    @dg.sensor(
        minimum_interval_seconds=30,
        default_status=status,
        description="Gives every run that died without a word its line in"
        " `provider_sync_state`, and ends it when Dagster has not noticed.",
    )
    def sync_failure_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SkipReason:
        since = datetime.now(timezone.utc) - LOOK_BACK
        if context.cursor:
            since = datetime.fromisoformat(context.cursor)
        with open_catalog("failure sensor") as catalog:
            dead = fail_orphaned_runs(
                context.instance, catalog.connection, catalog.settings, catalog.target
            )
            latest = _record_failed_runs(context.instance, catalog, since)
        context.update_cursor(latest.isoformat())
        ended = ", ".join(run_id[:8] for run_id in dead)
        return dg.SkipReason(f"ended {ended}" if dead else "no run has died")

    return [backfill_requests_sensor, catch_up_sensor, sync_failure_sensor]


def _follow_up(instance: dg.DagsterInstance, catalog: Catalog) -> list[dg.RunRequest]:
    """Settles what has ended; asks again for what was claimed and then never became a run."""
    lost = []
    for request in backfills.open_requests(catalog.connection):
        if request.status != "running":
            continue
        run = next(iter(instance.get_runs(dg.RunsFilter(tags=_tags(request)), limit=1)), None)
        if run is None and not _give_up(catalog, request):
            lost.append(_run_request(request))
        elif run is not None and run.is_finished:
            ended = run_failure(instance, run.run_id)
            settled = next_status(request, ended, pause=catalog.settings.backfill_pause)
            backfills.update_status(catalog.connection, request, settled)
    return lost


def _begin(catalog: Catalog) -> list[dg.RunRequest]:
    begun = []
    now = datetime.now(timezone.utc)
    for request in due(
        backfills.open_requests(catalog.connection), now, max_concurrent=MAX_CONCURRENT
    ):
        if _give_up(catalog, request):
            continue
        claimed = backfills.claim(catalog.connection, request)
        if claimed is not None:
            begun.append(_run_request(claimed))
    return begun


def _give_up(catalog: Catalog, request: Request) -> bool:
    """Settles a request that no run can fulfil."""
    reason = rejection_reason(request)
    if reason is not None:
        backfills.update_status(
            catalog.connection, request, StatusUpdate("failed", request.attempts, reason)
        )
    return reason is not None


def _run_request(request: Request) -> dg.RunRequest:
    """The same key for the same attempt: asked for twice, it still becomes one run."""
    tags = _tags(request)
    return dg.RunRequest(
        run_key=f"backfill {request.id} claimed {tags[CLAIM_TAG]}",
        partition_key=str(request.season),
        tags=tags,
    )


def _tags(request: Request) -> dict[str, str]:
    return {REQUEST_TAG: str(request.id), CLAIM_TAG: request.next_attempt_at.isoformat()}


def _cursor(asked: CatchUpState, told: AlertState) -> str:
    return json.dumps({**asdict(asked), **asdict(told)}, default=str)


def _told(cursor: str | None) -> AlertState:
    kept = json.loads(cursor) if cursor else {}
    return AlertState(kept.get("stale_since"), kept.get("subscription_day"))


def _asked(cursor: str | None) -> CatchUpState:
    if not cursor:
        return CatchUpState(None, 0, None)
    kept = json.loads(cursor)
    at = datetime.fromisoformat(kept["at"]) if kept["at"] else None
    return CatchUpState(kept["since"], kept["times"], at)


def _record_failed_runs(
    instance: dg.DagsterInstance, catalog: Catalog, since: datetime
) -> datetime:
    """Records the runs that have failed since then; returns up to when it has looked."""
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FAILED, updated_after=since),
        limit=50,
        order_by="update_timestamp",
        ascending=True,
    )
    latest = since
    for record in records:
        latest = record.update_timestamp.replace(tzinfo=timezone.utc)
        if is_ours(record.dagster_run) and record.start_time is not None:
            record_run_failure(
                instance, catalog.connection, catalog.settings, catalog.target, record.dagster_run
            )
    return latest
