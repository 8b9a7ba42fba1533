"""Names of assets, jobs and tags, and the daily job: constants that both sides import."""

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES

RAW = "raw_leagues"
CATALOG = "catalog"
CHECKS_STEP = "catalog_checks"
BACKFILL_STEP = "backfill_season"
STEPS = frozenset({RAW, CATALOG, BACKFILL_STEP})
"""The steps whose failure is a failure of the catalog."""

SYNC_JOB = "sync_leagues"
BACKFILL_JOB = "backfill_seasons"
PRUNE_JOB = "prune_runs"
ASSET_JOB = "__ASSET_JOB"
"""Dagster's name for what "Materialize" and `dagster asset materialize` start."""

REQUEST_TAG = "oddins/backfill_request"
CLAIM_TAG = "oddins/backfill_claim"
"""The time of the claim, which identifies the attempt: its number is reused after one that sent no
request.
"""

COMMAND_TAG = "oddins/command"
"""On runs of the command line, which are connected before Dagster knows of them."""

MAX_RUNTIME_TAG = {"dagster/max_runtime": "1800"}
"""Ends a run that died together with its code server, which run monitoring does not notice."""

ASSETS = (RAW, *LEAGUES.tables)

sync_leagues = dg.define_asset_job(
    SYNC_JOB,
    # By key: a consumer's assets in the same code location are not ours to run.
    selection=dg.AssetSelection.assets(*ASSETS),
    description="Fetches the whole list of competitions and publishes it.",
    # Ahead of any number of backfills in the queue.
    tags={**MAX_RUNTIME_TAG, "dagster/priority": "10"},
)
