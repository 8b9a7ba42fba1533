"""The documented consumer: it runs after a change of the catalog and after nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.database.lock import lock_id
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


@pytest.mark.parametrize("day", ["changed", "unchanged"])
def test_a_failing_consumer_runs_last_without_the_lock_and_is_no_failure_of_the_catalog(
    service: Service, instance: dg.DagsterInstance, day: str
) -> None:
    held = []

    @dg.asset(ins={"seasons": dg.AssetIn(input_manager_key="postgres_io_manager")})
    def failing(seasons: Any) -> None:
        held.append((len(seasons) > 0, *service.query(LOCKS)))
        raise RuntimeError("the consumer's own affair")

    names = ("raw_leagues", *LEAGUES.tables)
    if day == "unchanged":
        assert materialize(instance, *names).success
    assert not materialize(instance, *names, "failing", assets=[failing]).success
    assert not materialize(instance, "failing", assets=[failing]).success
    assert held == [(True, (0, 1)), (True, (0, 0))], "no lock; in the first run, a connection"
    assert service.query("SELECT last_error FROM provider_sync_state") == [(None,)]


def test_a_consumer_alone_does_not_wait_for_the_lock(
    service: Service, instance: dg.DagsterInstance
) -> None:
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    with psycopg.connect(service.database) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (lock_id(),))
        assert materialize(instance, "current_seasons", assets=[load()]).success


LOCKS = """
SELECT (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT count(*)::int FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'oddins sync %')
"""
