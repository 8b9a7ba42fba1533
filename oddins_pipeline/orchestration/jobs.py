"""Jobs."""

import dagster as dg

SYNC_JOB = "sync_leagues"

sync_leagues = dg.define_asset_job(
    SYNC_JOB,
    selection=dg.AssetSelection.all(),
    description="Fetches the whole list of competitions and publishes it.",
    tags={"dagster/priority": "10", "dagster/max_runtime": "3600"},
)
