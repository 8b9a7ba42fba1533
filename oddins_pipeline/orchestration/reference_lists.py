"""The asset and the checks of a reference list, from its declaration."""

from typing import Any

import dagster as dg

from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.orchestration.assets import GROUP, SyncConfig, fetch
from oddins_pipeline.orchestration.jobs import FIRST, OWNERS
from oddins_pipeline.orchestration.table_metadata import table_metadata
from oddins_pipeline.pipeline.list_sync import list_sync
from oddins_pipeline.schema import CATALOG


def build_asset(spec: ReferenceList) -> dg.AssetsDefinition:
    """The asset of one list: fetched, archived, validated and published in one step."""

    @dg.asset(
        name=spec.name,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "postgres"},
        io_manager_key="postgres_io_manager",
        required_resource_keys={"sync_session", "api_football"},
        op_tags=FIRST,
        description=f"{spec.description} One request to `{spec.path}`. Nothing is ever deleted:"
        " what the provider no longer lists gets `delisted_at`.",
        metadata=table_metadata(CATALOG[spec.name]),
        code_version=str(spec.entity.normaliser),
    )
    def materialize(context: dg.AssetExecutionContext, config: SyncConfig) -> dg.Output[Any]:
        return fetch(context, list_sync(spec), config, {})

    return materialize
