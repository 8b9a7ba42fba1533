"""The assets in Dagster: what a selection does, what events say, how they are started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.errors import DatabaseError
from oddins_pipeline.orchestration.io_manager import PostgresIOManager
from oddins_pipeline.orchestration.table_metadata import column_schema
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline.schema import CATALOG
from oddins_pipeline_tests.support.materialize import materialize
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import KEY, Service

PROJECT = Path(__file__).parents[2]


def reported(result: dg.ExecuteInProcessResult) -> set[str]:
    return {
        event.asset_key.path[-1]
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    }


def test_a_selection_of_one_table_publishes_the_whole_response_and_reports_one(
    instance: dg.DagsterInstance, service: Service
) -> None:
    result = materialize(instance, "raw_leagues", "seasons")
    assert result.success
    assert reported(result) == {"raw_leagues", "seasons"}
    for table in LEAGUES.tables:
        assert service.query(f"SELECT count(*) > 0 FROM {table}") == [(True,)]


def test_without_raw_leagues_the_newest_published_response_is_used(
    instance: dg.DagsterInstance, service: Service
) -> None:
    refused = materialize(instance, *LEAGUES.tables)
    assert not refused.success
    (failure,) = [e for e in refused.all_events if e.is_step_failure]
    assert "materialize raw_leagues first" in str(
        failure.step_failure_data.user_failure_data.description  # type: ignore[union-attr]
    )
    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    requests = len(service.provider.requests)
    again = materialize(instance, "leagues")
    assert again.success
    assert reported(again) == {"leagues"}
    assert len(service.provider.requests) == requests


def test_a_downstream_asset_reads_the_rows_of_a_table(
    instance: dg.DagsterInstance, service: Service
) -> None:
    @dg.asset(ins={"seasons": dg.AssetIn(input_manager_key="postgres_io_manager")})
    def current_seasons(seasons: Any) -> dg.MaterializeResult[None]:
        current = sum(row["is_current"] for row in seasons)
        return dg.MaterializeResult(metadata={"current": current})

    assert materialize(instance, "raw_leagues", *LEAGUES.tables).success
    result = materialize(instance, "current_seasons", assets=[current_seasons])
    assert result.success
    (event,) = result.asset_materializations_for_node("current_seasons")
    expected = service.query("SELECT count(*) FROM seasons WHERE is_current")[0][0]
    assert event.metadata["current"].value == expected


def test_events_carry_the_responses_hash_and_the_row_counts(
    instance: dg.DagsterInstance, service: Service
) -> None:
    materialize(instance, "raw_leagues", *LEAGUES.tables)
    ((sha256,),) = service.query("SELECT sha256 FROM provider_payloads")
    for table in LEAGUES.tables:
        event = instance.get_latest_materialization_event(dg.AssetKey(table))
        assert event is not None
        materialization = event.asset_materialization
        assert materialization is not None
        assert (materialization.tags or {})["dagster/data_version"] == sha256
        ((rows,),) = service.query(f"SELECT count(*) FROM {table}")
        assert materialization.metadata["dagster/row_count"].value == rows


def test_every_asset_is_described_and_its_columns_are_the_tables(service: Service) -> None:
    graph = build_definitions().resolve_asset_graph()
    for name in ("raw_leagues", *LEAGUES.tables):
        node = graph.get(dg.AssetKey(name))
        assert node.description
        assert node.owners
        assert node.kinds
        assert node.group_name == "catalog"
    for table in LEAGUES.tables:
        stored = service.query(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", table
        )
        described = column_schema(CATALOG[table]).columns
        assert {column.name for column in described} == {name for (name,) in stored}
        assert all(column.description for column in described)


@pytest.mark.parametrize("where", ["project", "elsewhere", "empty home", "configured home"])
def test_dagster_asset_materialize_works_wherever_it_is_called(
    service: Service, tmp_path: Path, where: str
) -> None:
    entries = generate_leagues(0.02)
    serve(service, entries)
    environment = {**os.environ, **service.environment()}
    directory = tmp_path / "directory"
    directory.mkdir()
    if where.endswith("home"):
        home = tmp_path / "dagster_home"
        home.mkdir()
        environment["DAGSTER_HOME"] = str(home)
        if where == "configured home":
            shutil.copy(PROJECT / "dagster.yaml", home)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("--select", "*", "-m", "oddins_pipeline.definitions"),
        ],
        env=environment,
        cwd=PROJECT if where == "project" else directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert service.query("SELECT count(*) FROM leagues") == [(len(entries),)]
    assert KEY not in done.stdout + done.stderr
    runs = service.query("SELECT to_regclass('dagster.runs') IS NOT NULL")
    assert runs == [(where in {"project", "configured home"},)]
    if where == "configured home":
        lines = [json.loads(x) for x in done.stdout.splitlines() if x.startswith('{"timestamp"')]
        assert "sync completed" in {line["message"] for line in lines}


@pytest.mark.parametrize("unchanged", [False, True])
def test_a_metric_that_cannot_be_read_after_the_commit_does_not_fail_the_run(
    service: Service,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    unchanged: bool,
) -> None:
    if unchanged:
        materialize(instance, "raw_leagues", *LEAGUES.tables)

    def lost(*_: object, **__: object) -> None:
        raise DatabaseError("too many connections")

    for place in ("orchestration.io_manager.changes", "pipeline.sync.last_quota"):
        monkeypatch.setattr(f"oddins_pipeline.{place}", lost)
    monkeypatch.setattr("oddins_pipeline.database.sync_state.unchanged_counts", lost)
    monkeypatch.setattr(PostgresIOManager, "_row_counts", lost)
    monkeypatch.setattr("oddins_pipeline.orchestration.checks.load_facts", lost)
    result = materialize(instance, "raw_leagues", *LEAGUES.tables)
    assert result.success
    found = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    }
    assert found.keys() == {"raw_leagues", *LEAGUES.tables}
    assert "dagster/row_count" not in found["leagues"]
    assert "rows_received" in found["leagues"]
    assert service.query("SELECT count(*) > 0 FROM leagues") == [(True,)]
