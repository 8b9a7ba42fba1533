"""A consumer of the catalog: an asset that reads `seasons` and runs only when the data has changed.

Load it beside the pipeline, so that both share one code location and one IO manager:

    dg.Definitions.merge(build_definitions(), dg.Definitions(assets=[current_seasons]))

and switch on `automation_condition_sensor` in the UI's Automation tab (with ODDINS_AUTOMATION=on
it runs). The catalog's
events carry the hash of the provider's response as their data version: a daily sync with an
unchanged response records a materialization with the same version, and nothing runs here.
"""

from typing import Any

import dagster as dg

CHANGED_ONLY = dg.AutomationCondition.eager().replace(
    "any_deps_updated",
    dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()),
)
"""`eager()`, but for a dependency's new data instead of its new materialization."""


@dg.asset(
    group_name="odds",
    kinds={"python"},
    ins={"seasons": dg.AssetIn(input_manager_key="postgres_io_manager")},
    automation_condition=CHANGED_ONLY,
    description="How many listed seasons are current, for each year.",
)
def current_seasons(seasons: list[dict[str, Any]]) -> dg.MaterializeResult[None]:
    """`seasons` is the whole table as dicts: a delisted row has a `delisted_at`."""
    found: dict[int, int] = {}
    for row in seasons:
        if row["is_current"] and row["delisted_at"] is None:
            found[row["year"]] = found.get(row["year"], 0) + 1
    return dg.MaterializeResult(metadata={str(year): found[year] for year in sorted(found)})
