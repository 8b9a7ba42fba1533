"""Assembles the code location; nothing is decided and nothing connected here."""

from typing import Any

import dagster as dg

from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.config.settings import load_automation
from oddins_pipeline.orchestration.assets import build_asset, catalog, raw_leagues
from oddins_pipeline.orchestration.backfill import backfill_seasons
from oddins_pipeline.orchestration.checks import build_list_checks, catalog_checks
from oddins_pipeline.orchestration.io_manager import postgres_io_manager
from oddins_pipeline.orchestration.pruning import prune_runs
from oddins_pipeline.orchestration.schedules import build_schedules
from oddins_pipeline.orchestration.sensors import build_sensors
from oddins_pipeline.orchestration.session import api_football, sync_session
from oddins_pipeline.orchestration.sync_jobs import SYNC_JOBS


def build_definitions(**overrides: Any) -> dg.Definitions:
    """Fresh definitions; `overrides` replace resources by name, for tests and the command line."""
    automation = load_automation()
    return dg.Definitions(
        assets=dg.with_source_code_references([raw_leagues, catalog, *map(build_asset, LISTS)]),
        jobs=[*SYNC_JOBS, backfill_seasons, prune_runs],
        schedules=build_schedules(automation),
        sensors=build_sensors(automation),
        asset_checks=[catalog_checks, *map(build_list_checks, LISTS)],
        executor=dg.in_process_executor,
        resources={
            "sync_session": sync_session,
            "api_football": api_football,
            "postgres_io_manager": postgres_io_manager,
            **overrides,
        },
    )


defs = build_definitions()
