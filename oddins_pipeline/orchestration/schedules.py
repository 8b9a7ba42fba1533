"""The daily sync, and a weekly deletion of old runs."""

from collections.abc import Iterator

import dagster as dg

from oddins_pipeline.config.settings import AutomationSettings
from oddins_pipeline.orchestration.jobs import PRUNE_JOB, SYNC_JOB
from oddins_pipeline.orchestration.runs import sync_in_progress


def build_schedules(settings: AutomationSettings) -> list[dg.ScheduleDefinition]:
    """The schedules, running by themselves with ODDINS_AUTOMATION=on."""
    on = settings.automation == "on"
    status = dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        job_name=SYNC_JOB,
        cron_schedule=settings.sync_cron,
        execution_timezone=settings.sync_timezone,
        default_status=status,
        description="Once a day, away from 00:00 UTC, when the provider's quota resets.",
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
