"""Materializes assets in this process."""

from __future__ import annotations

from typing import Any

import dagster as dg

from oddins_pipeline.definitions import build_definitions


def materialize(
    instance: dg.DagsterInstance,
    *names: str,
    assets: list[Any] | None = None,
    ops: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions.merge(build_definitions(), dg.Definitions(assets=assets or []))
    selected = [dg.AssetKey(name) for name in names]
    job = dg.define_asset_job("chosen", selection=dg.AssetSelection.assets(*selected))
    merged = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    found = merged.resolve_job_def("chosen")
    return found.execute_in_process(
        run_config={"ops": ops or {}}, instance=instance, raise_on_error=False
    )
