"""Materializes assets in this process, as "Materialize" in the UI does: all, or those named."""

from __future__ import annotations

from typing import Any

import dagster as dg

from oddins_pipeline.definitions import build_definitions


def materialize(
    instance: dg.DagsterInstance,
    *names: str,
    assets: list[Any] | None = None,
    ops: dict[str, Any] | None = None,
    partition: str | None = None,
) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions.merge(build_definitions(), dg.Definitions(assets=assets or []))
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        run_config={"ops": ops or {}},
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in names] or None,
        partition_key=partition,
        raise_on_error=False,
    )
