"""Assembles the code location; nothing is decided and nothing connected here."""

from typing import Any

import dagster as dg

from oddins_pipeline.orchestration.assets import catalog, raw_leagues
from oddins_pipeline.orchestration.io_manager import postgres_io_manager
from oddins_pipeline.orchestration.jobs import sync_leagues
from oddins_pipeline.orchestration.schedules import daily_league_sync
from oddins_pipeline.orchestration.session import api_football, sync_session


def build_definitions(**overrides: Any) -> dg.Definitions:
    """Fresh definitions; `overrides` replace resources by name, for tests and the command line."""
    return dg.Definitions(
        assets=[raw_leagues, catalog],
        jobs=[sync_leagues],
        schedules=[daily_league_sync()],
        executor=dg.in_process_executor,
        resources={
            "sync_session": sync_session,
            "api_football": api_football,
            "postgres_io_manager": postgres_io_manager,
            **overrides,
        },
    )


defs = build_definitions()
