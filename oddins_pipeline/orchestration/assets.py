"""Assets: `raw_leagues`, then the catalog, whose four tables are always written together; and one
for each reference list, from its declaration.
"""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.dependency import NodeHandle
from pydantic import Field

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.catalog.requests import Params
from oddins_pipeline.catalog.steps import CATALOG, CHECK_STEPS, RAW
from oddins_pipeline.database.payloads import Payload
from oddins_pipeline.orchestration.checks import evaluations
from oddins_pipeline.orchestration.io_manager import Slice
from oddins_pipeline.orchestration.jobs import FIRST, OWNERS
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.orchestration.table_metadata import response_schema, table_metadata
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC, LeagueFilter
from oddins_pipeline.pipeline.list_sync import list_sync
from oddins_pipeline.pipeline.sync import Sync, SyncPlan
from oddins_pipeline.schema import CATALOG as ALL_TABLES

TABLES = {name: ALL_TABLES[name] for name in LEAGUES.tables}

OURS: dict[str, Any] = {
    "group_name": "catalog",
    "owners": OWNERS,
    "io_manager_key": "postgres_io_manager",
}

RAW_METADATA = {
    "dagster/table_name": "public.provider_payloads",
    "dagster/column_schema": response_schema(*TABLES.values()),
}

_KEPT = (
    "\n\nNothing is ever deleted: what the provider no longer lists gets `delisted_at`."
    " `oddins changes` lists what changed. All four tables are always written together; a subset"
    " only controls which assets record a materialization."
)


class SyncConfig(dg.Config):
    """How to sync an entity."""

    force: bool = Field(
        False,
        description="Skip the shrinkage check and the quarantine limit; every other check still"
        " applies.",
    )
    replay: bool = Field(
        False, description="Publish the newest archived full response again, without a request."
    )


class LeaguesConfig(SyncConfig):
    """Which part of the provider's list to fetch. Nothing set: the whole list."""

    season: int | None = Field(None, description="Only this year; adds and updates, never delists.")
    country: str | None = Field(None, description="Only this country's leagues.")
    league: int | None = Field(None, description="Only the league with this provider id.")
    current: bool = Field(False, description="Only each league's current or last season.")


def _requested(**options: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """An asset whose content is requested from the provider."""
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        **OURS,
        kinds={"python", "postgres"},
        required_resource_keys={"sync_session", "api_football"},
        op_tags=FIRST,
        **options,
    )
    return decorator


def fetch(
    context: dg.AssetExecutionContext, plan: SyncPlan[Any], config: SyncConfig, params: Params
) -> dg.Output[Any]:
    """Begins the sync of an entity: one response, or the archived one with `replay`."""
    run: RunSession = context.resources.sync_session
    with run.step_of(plan.entity) as progress:
        progress.sync = Sync(run.session, plan, force=config.force)
        if config.replay:
            return versioned(progress.sync.replayed())
        client = context.resources.api_football()
        return versioned(client.fetch(plan.entity.path, params))


@_requested(
    name=RAW,
    description="The provider's response to `/leagues`, byte for byte, in `provider_payloads`."
    " One request; a response whose content the tables show already is not stored again.",
    metadata=RAW_METADATA,
    code_version=str(LEAGUES.normaliser),
)
def raw_leagues(context: dg.AssetExecutionContext, config: LeaguesConfig) -> dg.Output[Any]:
    """Fetches one response, or loads the archived one with `replay`."""
    query = LeagueFilter(config.season, config.country, config.league, config.current)
    return fetch(context, LEAGUE_SYNC, config, query.params)


def build_asset(spec: ReferenceList) -> dg.AssetsDefinition:
    """The asset of a reference list: fetched, archived, validated and published in one step."""

    @_requested(
        name=spec.name,
        description=f"{spec.description} One request to `{spec.path}`. Nothing is ever deleted:"
        " what the provider no longer lists gets `delisted_at`.",
        metadata=table_metadata(ALL_TABLES[spec.name]),
        code_version=str(spec.entity.normaliser),
    )
    def materialize(context: dg.AssetExecutionContext, config: SyncConfig) -> dg.Output[Any]:
        return fetch(context, list_sync(spec), config, {})

    return materialize


def versioned(value: Any, **options: Any) -> dg.Output[Any]:
    """An output whose data version is the response's hash: consumers react to changes only."""
    return dg.Output(value, data_version=dg.DataVersion(value.sha256), **options)


@dg.multi_asset(
    name=CATALOG,
    can_subset=True,
    ins={RAW: dg.AssetIn(input_manager_key="postgres_io_manager")},
    outs={
        name: dg.AssetOut(
            description=table.info["doc"] + _KEPT,
            **OURS,
            kinds={"postgres"},
            is_required=False,
            metadata=table_metadata(table),
            code_version=str(LEAGUES.normaliser),
        )
        for name, table in TABLES.items()
    },
    required_resource_keys={"sync_session"},
    op_tags=FIRST,
)
def catalog(context: dg.AssetExecutionContext, raw_leagues: Payload) -> Iterator[dg.Output[Slice]]:
    """Validates the response, then yields slices of one batch; the selection only decides which
    assets record a materialization.
    """
    run: RunSession = context.resources.sync_session
    with run.step_of(LEAGUES) as progress:
        progress.sync = progress.sync or Sync(run.session, LEAGUE_SYNC)
        publication = progress.sync.validate(raw_leagues)
    for table in LEAGUES.tables:
        if table in context.op_execution_context.selected_output_names:
            yield versioned(Slice(publication, table), output_name=table)
    # The batch is published whole: checks of tables that are not selected are about it as well.
    layer = context.op_execution_context.job_def.asset_layer
    selected = layer.get_selected_entity_keys_for_node(NodeHandle(CHECK_STEPS[LEAGUES.name], None))
    for evaluation in evaluations(run, selected):
        context.log_event(evaluation)
    run.finish(CATALOG)
