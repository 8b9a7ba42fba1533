"""The daily schedule."""

import os

import dagster as dg

from oddins_pipeline.orchestration.jobs import SYNC_JOB


def daily_league_sync() -> dg.ScheduleDefinition:
    """Reads its three settings when definitions load: the cron, its time zone, on or off."""
    running = os.environ.get("ODDINS_AUTOMATION", "off").strip().lower() == "on"
    return dg.ScheduleDefinition(
        name="daily_league_sync",
        job_name=SYNC_JOB,
        cron_schedule=os.environ.get("ODDINS_SYNC_CRON") or "17 5 * * *",
        execution_timezone=os.environ.get("ODDINS_SYNC_TIMEZONE") or "UTC",
        description="Once a day, away from 00:00 UTC, when the provider's quota is given anew.",
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
        ),
    )
