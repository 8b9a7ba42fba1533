"""The code location as a reviewed file: a changed graph is a changed file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg

from oddins_pipeline.definitions import build_definitions

SNAPSHOT = Path(__file__).with_name("asset_graph.json")


def graph() -> dict[str, Any]:
    definitions = build_definitions()
    repository = definitions.get_repository_def()
    found = definitions.resolve_asset_graph()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    return {
        "assets": {
            key.to_user_string(): {
                "group": found.get(key).group_name,
                "depends on": sorted(p.to_user_string() for p in found.get(key).parent_keys),
            }
            for key in sorted(found.get_all_asset_keys())
        },
        "checks": sorted(f"{key.asset_key.to_user_string()}: {key.name}" for key in _checks(found)),
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            for job in sorted(jobs, key=lambda job: job.name)
        },
        "schedules": {s.name: s.cron_schedule for s in repository.schedule_defs},
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    }


def _checks(found: Any) -> list[dg.AssetCheckKey]:
    return list(found.asset_check_keys)


def test_the_graph_is_the_reviewed_one() -> None:
    assert graph() == json.loads(SNAPSHOT.read_text()), (
        "review the change, then write it: python -m"
        " oddins_pipeline_tests.integration.test_asset_graph"
    )


def test_each_sync_job_runs_only_the_assets_of_its_entity() -> None:
    jobs = graph()["jobs"]
    assert jobs["sync_bookmakers"] == ["bookmakers"]
    assert jobs["sync_bets"] == ["bets"]
    leagues = ["countries", "leagues", "raw_leagues", "season_coverage", "seasons"]
    assert jobs["sync_leagues"] == leagues


def test_everything_has_an_owner_and_each_asset_a_version_a_table_and_its_source() -> None:
    definitions = build_definitions()
    repository = definitions.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    things: list[Any] = [*jobs, *repository.schedule_defs, *repository.sensor_defs]
    for each in things:
        ours = not isinstance(each, dg.AutomationConditionSensorDefinition)
        assert each.owners or not ours, each.name
    for node in definitions.resolve_asset_graph().asset_nodes:
        assert node.code_version
        assert str(node.metadata["dagster/table_name"]).startswith("public.")
        assert "orchestration/" in str(node.metadata["dagster/code_references"])


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(graph(), indent=2) + "\n")
