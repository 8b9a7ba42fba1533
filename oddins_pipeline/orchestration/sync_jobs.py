"""The sync jobs: each selects its own assets and their own checks by key, never "all"."""

from typing import Any

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES, Entity
from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.orchestration.checks import build_list_checks, catalog_checks
from oddins_pipeline.orchestration.jobs import ASSETS, MAX_RUNTIME_TAG, OWNERS, sync_job


def _asset_job(
    entity: Entity, assets: tuple[str, ...], checks: Any, content: str, priority: int
) -> Any:
    # By key: in the same code location a consumer's assets are not ours to run, nor its checks of
    # our assets, which could fail the run, or block the catalog.
    ours = dg.AssetSelection.assets(*assets).without_checks()
    return dg.define_asset_job(
        sync_job(entity),
        selection=ours | dg.AssetSelection.checks(checks),
        description=f"Fetches {content} and publishes it.",
        # Ahead of any number of backfills in the queue.
        tags={**MAX_RUNTIME_TAG, "dagster/priority": str(priority)},
        owners=OWNERS,
    )


def _list_job(spec: ReferenceList) -> Any:
    checks, content = build_list_checks(spec), f"the list of {spec.name}"
    return _asset_job(spec.entity, (spec.name,), checks, content, 5)


SYNC_JOBS = (
    _asset_job(LEAGUES, ASSETS, catalog_checks, "the whole list of competitions", 10),
    *map(_list_job, LISTS),
)
