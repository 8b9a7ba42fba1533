"""Names of the steps that sync the catalog in a Dagster run: what runs and metrics know them by."""

from __future__ import annotations

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.lists import LISTS

RAW = "raw_leagues"
CATALOG = "catalog"
BACKFILL_STEP = "backfill_season"
WRITES = {
    LEAGUES.name: frozenset({RAW, CATALOG, BACKFILL_STEP}),
    **{spec.entity.name: frozenset({spec.name}) for spec in LISTS},
}
"""Entity → the steps whose failure is its failure."""

CHECK_STEPS = {
    LEAGUES.name: "catalog_checks",
    **{spec.entity.name: f"{spec.name}_checks" for spec in LISTS},
}
OURS = frozenset().union(*WRITES.values(), CHECK_STEPS.values())
"""All of them. The lock ends with the last; other steps of the run are consumers'."""
