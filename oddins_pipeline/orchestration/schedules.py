"""The schedules: the daily sync, the weekly ones of the lists, and the deletion of old runs."""

from collections.abc import Iterator

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES, Entity
from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline.config.workspace import load_workspace
from oddins_pipeline.database.connection import connect
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.jobs import OWNERS, PRUNE_JOB, sync_job
from oddins_pipeline.orchestration.ownership import load_owner
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
        yield _request_or_skip(context.instance, entity)

    return scheduled_sync


def _request_or_skip(instance: dg.DagsterInstance, entity: Entity) -> dg.RunRequest | dg.SkipReason:
    """A tick that fails is gone, so a database that cannot be reached is left to the run, which
    reports it.
    """
    try:
        with connect(load_workspace(reads_only=True), purpose="schedule") as connection:
            owner = load_owner(connection)
    except OddinsError:
        return dg.RunRequest()
    reason = sync_in_progress(instance, owner, entity)
    return dg.SkipReason(reason) if reason else dg.RunRequest(tags=owner.tags)


def _status(settings: AutomationSettings) -> dg.DefaultScheduleStatus:
    on = settings.automation == "on"
    return dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED
