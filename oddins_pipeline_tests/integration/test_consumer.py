"""The documented consumer: it runs after a change of the catalog and after nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.materialize import materialize
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Service

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "current_seasons.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("current_seasons", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.current_seasons


# Dagster's own helper for tests uses what it calls beta.
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_the_consumer_runs_after_a_change_and_not_after_an_unchanged_sync(
    service: Service, instance: dg.DagsterInstance
) -> None:
    consumer = load()
    entries = generate_leagues(0.02)
    other = json.loads(json.dumps(entries))
    other[0]["league"]["name"] = "Renamed"
    serve(service, entries, entries, other)
    definitions = dg.Definitions.merge(build_definitions(), dg.Definitions(assets=[consumer]))
    cursor = None

    def requested() -> int:
        nonlocal cursor
        ticked = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
        cursor = ticked.cursor
        return ticked.get_num_requested(consumer.key)

    assert requested() == 0, "nothing is there to be read"
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    assert requested() == 1, "the first response"
    result = materialize(instance, "current_seasons", assets=[consumer])
    assert result.success
    (event,) = result.asset_materializations_for_node("current_seasons")
    expected = service.query(
        "SELECT year::text, count(*) FROM seasons WHERE is_current GROUP BY year ORDER BY year"
    )
    assert [(year, value.value) for year, value in event.metadata.items()] == expected
    assert requested() == 0
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    assert requested() == 0, "the same response again"
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    assert requested() == 1, "another response"
    assert requested() == 0, "once for each change"
