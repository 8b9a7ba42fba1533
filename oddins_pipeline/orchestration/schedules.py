"""The schedules: the daily sync, the weekly ones of the lists, and the deletion of old runs."""

from collections.abc import Iterator

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES, Entity
from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline.orchestration.jobs import OWNERS, PRUNE_JOB, sync_job
from oddins_pipeline.orchestration.runs import sync_in_progress


def build_schedules(settings: AutomationSettings) -> list[dg.ScheduleDefinition]:
    """The schedules, running by themselves with ODDINS_AUTOMATION=on."""
    weekly = "Once a week: the provider seldom changes the {}."
    return [
        _sync_schedule(
            "daily_league_sync",
            LEAGUES,
            settings.sync_cron,
            settings,
            "Once a day, away from 00:00 UTC, when the provider's quota resets.",
        ),
        *(
            _sync_schedule(
                f"weekly_{spec.name}_sync",
                spec.entity,
                settings.lists_cron,
                settings,
                weekly.format(spec.name),
            )
            for spec in LISTS
        ),
        dg.ScheduleDefinition(
            name="weekly_pruning",
            job_name=PRUNE_JOB,
            cron_schedule="40 3 * * 0",
            default_status=_status(settings),
            owners=OWNERS,
            description="Deletes Dagster's runs and events that are past ODDINS_KEEP_RUNS_DAYS.",
        ),
    ]


def _sync_schedule(
    name: str, entity: Entity, cron: str, settings: AutomationSettings, description: str
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        job_name=sync_job(entity),
        cron_schedule=cron,
        execution_timezone=settings.sync_timezone,
        default_status=_status(settings),
        description=description,
        owners=OWNERS,
    )
    def scheduled_sync(
        context: dg.ScheduleEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        reason = sync_in_progress(context.instance, entity)
        yield dg.SkipReason(reason) if reason else dg.RunRequest()

    return scheduled_sync


def _status(settings: AutomationSettings) -> dg.DefaultScheduleStatus:
    on = settings.automation == "on"
    return dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED
