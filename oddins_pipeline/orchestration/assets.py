"""Assets: `raw_leagues`, then the catalog, which is published whole whatever is selected."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from oddins_pipeline.database.publish import TABLES
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.columns import COLUMNS
from oddins_pipeline.orchestration.failures import to_dagster_failure
from oddins_pipeline.orchestration.io_manager import Fetched, Slice
from oddins_pipeline.orchestration.lineage import ANSWER
from oddins_pipeline.orchestration.runs import RAW
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.pipeline.sync import Archived, LeagueFilter

# The data version is how consumers react to changes only; it has been beta since Dagster 1.3.
warnings.filterwarnings("ignore", message=".*`data_version`.*", category=dg.BetaWarning)

OWNERS = ["team:odds-data"]
GROUP = "catalog"

_DESCRIPTIONS = {
    "countries": "The countries that host competitions, and `World` for international ones. A"
    " country that is renamed keeps its `id`.",
    "leagues": "The competitions, leagues and cups alike. `provider_league_id` is API-Football's"
    " id; `slug` is given once and never changes, so links may rely on it.",
    "seasons": "One row for each league and year. `is_current` is the provider's current or last"
    " known season, which need not be played today: ask the view `season_activity`.",
    "season_coverage": "What the provider covers in each season, one row each: fixtures, line-ups,"
    " statistics, standings, odds and so on; null means that nobody knows.",
}
_KEPT = (
    "\n\nNothing is ever deleted: what the provider no longer lists gets `delisted_at`."
    " `oddins changes` tells what changed. All four tables are published together, in one"
    " transaction, whatever is selected."
)


class LeaguesConfig(dg.Config):
    """Which part of the provider's list to fetch. Nothing set: the whole list."""

    season: int | None = Field(None, description="Only this year; adds and updates, never delists.")
    country: str | None = Field(None, description="Only this country's leagues.")
    league: int | None = Field(None, description="Only the league with this provider id.")
    current: bool = Field(False, description="Only each league's current or last season.")
    force: bool = Field(
        False, description="Pass the guard's share test and the quarantine threshold."
    )
    replay: bool = Field(
        False, description="Publish the newest archived full answer again, without a request."
    )


@dg.asset(
    name=RAW,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "postgres"},
    io_manager_key="postgres_io_manager",
    required_resource_keys={"sync_session", "api_football"},
    description="The provider's answer to `/leagues`, byte for byte, in `provider_payloads`."
    " One request; an answer that the tables show already is not stored again.",
    metadata={"dagster/column_schema": ANSWER},
)
def raw_leagues(context: dg.AssetExecutionContext, config: LeaguesConfig) -> dg.Output[Fetched]:
    """Fetches one answer, or takes the archived one with `replay`."""
    run: RunSession = context.resources.sync_session
    session = run.session
    session.force = config.force
    try:
        session.query = LeagueFilter(config.season, config.country, config.league, config.current)
        if config.replay:
            archived = session.replayed()
            return _versioned(Fetched(None, archived, ""), archived.payload.sha256)
        started = time.monotonic()
        client = context.resources.api_football()
        answer = client.leagues(session.query.params)
    except OddinsError as error:
        raise to_dagster_failure(error) from None
    seconds = time.monotonic() - started
    return _versioned(Fetched(answer, None, client.base_url, seconds), answer.received.sha256)


def _versioned(value: Any, sha256: str) -> dg.Output[Any]:
    return dg.Output(value, data_version=dg.DataVersion(sha256))


@dg.multi_asset(
    name="catalog",
    can_subset=True,
    ins={RAW: dg.AssetIn(input_manager_key="postgres_io_manager")},
    outs={
        table: dg.AssetOut(
            description=_DESCRIPTIONS[table] + _KEPT,
            group_name=GROUP,
            owners=OWNERS,
            kinds={"postgres"},
            io_manager_key="postgres_io_manager",
            is_required=False,
            metadata={"dagster/column_schema": COLUMNS[table]},
        )
        for table in TABLES
    },
    required_resource_keys={"sync_session"},
)
def catalog(context: dg.AssetExecutionContext, raw_leagues: Archived) -> Iterator[dg.Output[Slice]]:
    """Validates the answer, then hands out slices of one batch; the selection only decides
    which assets report.
    """
    run: RunSession = context.resources.sync_session
    try:
        publication = run.session.validate(raw_leagues)
    except OddinsError as error:
        raise to_dagster_failure(error) from None
    for table in TABLES:
        if table in context.op_execution_context.selected_output_names:
            yield dg.Output(
                Slice(publication, table),
                output_name=table,
                data_version=dg.DataVersion(publication.payload.sha256),
            )
