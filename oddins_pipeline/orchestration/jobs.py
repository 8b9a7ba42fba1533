"""Names of jobs and tags, and the daily job: constants that both sides import."""

import os

import dagster as dg

SYNC_JOB = "sync_leagues"
BACKFILL_JOB = "backfill_seasons"
PRUNE_JOB = "prune_runs"
ASSET_JOB = "__ASSET_JOB"
"""Dagster's name for what "Materialize" and `dagster asset materialize` start."""

REQUEST_TAG = "oddins/backfill_request"
CLAIM_TAG = "oddins/backfill_claim"
"""The moment of the claim, which names the attempt: the count comes again after a free one."""

COMMAND_TAG = "oddins/command"
"""On runs of the command line, which are connected before Dagster knows of them."""

MAX_RUNTIME_TAG = {"dagster/max_runtime": "1800"}
"""Ends a run that died together with its code server, which run monitoring does not notice."""

sync_leagues = dg.define_asset_job(
    SYNC_JOB,
    selection=dg.AssetSelection.all(),
    description="Fetches the whole list of competitions and publishes it.",
    # Ahead of any number of backfills in the queue.
    tags={**MAX_RUNTIME_TAG, "dagster/priority": "10"},
)


def automation_is_on() -> bool:
    """Whether schedule and sensors start running by themselves: ODDINS_AUTOMATION=on."""
    return os.environ.get("ODDINS_AUTOMATION", "off").strip().lower() == "on"
