"""Names of assets, jobs and tags: what both sides import."""

import warnings

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES, Entity
from oddins_pipeline.catalog.steps import RAW

# The data version, which lets consumers react to changes only, has been beta since Dagster 1.3; so
# are owners and links to the source. The others are about Dagster's own calls.
warnings.filterwarnings(
    "ignore",
    message=".*(`data_version`|`owners`|CodeReference|source_code|`include_sources`|yaml-defined)",
    category=dg.BetaWarning,
)

OWNERS = ["team:odds-data"]
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
"""On runs of the command line: the command, for people who look at the run."""

PAYLOAD_TAG, VERSION_TAG = "oddins/payload", "oddins/version"
"""What a run published, and by which version: set once it has published."""

FIRST = {"dagster/priority": str(2**31)}
"""On the catalog's steps: writes and checks go before consumers' steps that are ready, whatever
theirs is, so that a slow consumer does not keep the lock.
"""

MAX_RUNTIME_TAG = {"dagster/max_runtime": "1800"}
"""Ends a run that died together with its code server, which run monitoring does not notice."""


def sync_job(entity: Entity) -> str:
    """The name of the job that syncs an entity."""
    return f"sync_{entity.label}"


SYNC_JOB = sync_job(LEAGUES)
ASSETS = (RAW, *LEAGUES.tables)
