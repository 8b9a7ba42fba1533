"""The asset and the checks of a reference list, from its declaration."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.database.catalog_facts import ListFacts, load_list_facts
from oddins_pipeline.orchestration.assets import GROUP, versioned
from oddins_pipeline.orchestration.checks import LIST_CHECKS, load_for_checks, results
from oddins_pipeline.orchestration.jobs import FIRST, OWNERS
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.orchestration.table_metadata import table_metadata
from oddins_pipeline.pipeline.list_sync import list_sync
from oddins_pipeline.pipeline.staleness import stale_after
from oddins_pipeline.pipeline.sync import Sync
from oddins_pipeline.schema import CATALOG


class ListConfig(dg.Config):
    """How to sync a reference list."""

    force: bool = Field(
        False,
        description="Skip the shrinkage check and the quarantine limit; every other check still"
        " applies.",
    )
    replay: bool = Field(
        False, description="Publish the newest archived response again, without a request."
    )


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
    def materialize(context: dg.AssetExecutionContext, config: ListConfig) -> dg.Output[Any]:
        run: RunSession = context.resources.sync_session
        with run.step_of(spec.entity) as progress:
            progress.sync = Sync(run.session, list_sync(spec), force=config.force)
            if config.replay:
                return versioned(progress.sync.replayed())
            client = context.resources.api_football()
            return versioned(client.fetch(spec.path, {}))

    return materialize


def build_checks(spec: ReferenceList) -> dg.AssetChecksDefinition:
    """The checks of one list."""
    checks = [check._replace(asset=spec.name) for check in LIST_CHECKS]

    def load(run: RunSession) -> ListFacts:
        limit = stale_after(run.workspace.settings, spec.entity)
        with run.reading() as connection:
            return load_list_facts(connection, spec.entity, stale_after=limit)

    @dg.multi_asset_check(
        name=f"{spec.name}_checks",
        can_subset=True,
        required_resource_keys={"sync_session"},
        op_tags=FIRST,
        specs=[check.spec for check in checks],
    )
    def evaluate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        run: RunSession = context.resources.sync_session
        try:
            facts = load_for_checks(run, spec.entity, lambda: load(run))
        finally:
            run.finish(f"{spec.name}_checks")
        if facts is not None:
            yield from results(checks, facts, context.selected_asset_check_keys)

    return evaluate
