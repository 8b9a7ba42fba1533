"""The schedules: the daily sync, the weekly ones of the lists, and the deletion of old runs."""

from collections.abc import Callable

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
    on = settings.automation == "on"
    status = dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED
    daily = "Once a day, away from 00:00 UTC, when the provider's quota resets."
    weekly = "Once a week: the provider seldom changes the {}."
    syncs = [("daily_league_sync", LEAGUES, settings.sync_cron, daily)]
    syncs += [
        (f"weekly_{spec.name}_sync", spec.entity, settings.lists_cron, weekly.format(spec.name))
        for spec in LISTS
    ]
    return [
        *(
            dg.ScheduleDefinition(
                name=name,
                job_name=sync_job(entity),
                cron_schedule=cron,
                execution_timezone=settings.sync_timezone,
                execution_fn=_evaluation(entity),
                default_status=status,
                owners=OWNERS,
                description=description,
            )
            for name, entity, cron, description in syncs
        ),
        dg.ScheduleDefinition(
            name="weekly_pruning",
            job_name=PRUNE_JOB,
            cron_schedule="40 3 * * 0",
            default_status=status,
            owners=OWNERS,
            description="Deletes Dagster's runs and events that are past ODDINS_KEEP_RUNS_DAYS.",
        ),
    ]


Evaluation = Callable[[dg.ScheduleEvaluationContext], dg.RunRequest | dg.SkipReason]


def _evaluation(entity: Entity) -> Evaluation:
    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return _request_or_skip(context.instance, entity)

    return evaluate


def _request_or_skip(instance: dg.DagsterInstance, entity: Entity) -> dg.RunRequest | dg.SkipReason:
    """A tick that fails is not repeated: that the database cannot be reached is left to the run,
    which reports it.
    """
    try:
        with connect(load_workspace(reads_only=True), purpose="schedule") as connection:
            owner = load_owner(connection)
    except OddinsError:
        return dg.RunRequest()
    reason = sync_in_progress(instance, owner, entity)
    return dg.SkipReason(reason) if reason else dg.RunRequest(tags=owner.tags)
