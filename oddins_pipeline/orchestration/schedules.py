"""The daily sync, and a weekly clearing of old runs."""

import os
from collections.abc import Iterator

import dagster as dg

from oddins_pipeline.orchestration.jobs import PRUNE_JOB, SYNC_JOB, automation_is_on
from oddins_pipeline.orchestration.runs import sync_in_progress


def build_schedules() -> list[dg.ScheduleDefinition]:
    """Reads its three settings when definitions load: the cron, its time zone, on or off."""
    on = automation_is_on()
    status = dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        job_name=SYNC_JOB,
        cron_schedule=os.environ.get("ODDINS_SYNC_CRON") or "17 5 * * *",
        execution_timezone=os.environ.get("ODDINS_SYNC_TIMEZONE") or "UTC",
        default_status=status,
        description="Once a day, away from 00:00 UTC, when the provider's quota is given anew.",
    )
    def daily_league_sync(
        context: dg.ScheduleEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        reason = sync_in_progress(context.instance)
        yield dg.SkipReason(reason) if reason else dg.RunRequest()

    weekly_pruning = dg.ScheduleDefinition(
        name="weekly_pruning",
        job_name=PRUNE_JOB,
        cron_schedule="40 3 * * 0",
        default_status=status,
        description="Deletes Dagster's runs and events that are past ODDINS_KEEP_RUNS_DAYS.",
    )
    return [daily_league_sync, weekly_pruning]
