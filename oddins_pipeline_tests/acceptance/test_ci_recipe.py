"""The recipe of docs/ci.md, run as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from oddins_pipeline_tests.support.embedded import destroy
from oddins_pipeline_tests.support.service import Service

PROJECT = Path(__file__).parents[2]
RECIPE = (PROJECT / "docs" / "ci.md").read_text(encoding="utf-8")
REAL, DRY_RUN = re.findall(r"^```sh\n(.*?)^```", RECIPE, re.MULTILINE | re.DOTALL)


def run(script: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-ec", script],
        env={**os.environ, **environment, "PATH": path},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize(("fault", "code"), [("", 0), ("suspended", 1)])
def test_the_pipeline_exits_0_when_done_and_1_with_the_sentence_when_not(
    service: Service, tmp_path: Path, fault: str, code: int
) -> None:
    service.provider.script(fault)
    script = re.sub(
        r"^export (DATABASE_URL|SPORTS_PROVIDER_API_KEY)=.*\n", "", REAL, flags=re.MULTILINE
    )
    done = run(script, tmp_path, **service.environment())
    assert done.returncode == code, done.stderr[-2000:]
    reported = service.query(
        "SELECT last_error FROM provider_sync_state WHERE entity = 'leagues_seasons'"
    )
    if code:
        assert "suspended the account" in reported[0][0]
        assert done.stderr.count(reported[0][0]) == 2, "the step's, the run's"
        assert "Stack Trace" not in done.stderr
    else:
        assert reported == [(None,)]
        assert service.query("SELECT count(*) > 0 FROM leagues") == [(True,)]
    assert len(service.provider.requests) == 3, "one request for each entity"


def test_the_dry_run_needs_no_variable_at_all(tmp_path: Path) -> None:
    home = tmp_path / "home"
    try:
        done = run(DRY_RUN, tmp_path, ODDINS_HOME=str(home))
    finally:
        destroy(home)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "leagues_seasons (api-football-sample): last synced" in done.stdout


def test_dg_checks_lists_and_launches_what_the_page_says(service: Service) -> None:
    commands = re.findall(r"^\$ (dg .+)$", RECIPE, re.MULTILINE)
    assert commands.pop() == "dg dev"
    for command in commands:
        done = run(command, PROJECT, **service.environment())
        assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
    assert service.query("SELECT count(*) > 0 FROM leagues") == [(True,)]
    assert service.query("SELECT count(*) > 0 FROM bets") == [(True,)]
    asked = [(path, query.get("season")) for _, path, query in service.provider.requests]
    assert len(asked) == 4, "one request for each entity, and one for the backfill"
    assert [path for path, season in asked if season] == ["/leagues"]


def test_without_our_dagster_yaml_the_log_holds_the_row_counts(
    service: Service, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    command = "dagster asset materialize --select '*' -m oddins_pipeline.definitions"
    done = run(command, tmp_path, **service.environment(), DAGSTER_HOME=str(home))
    assert done.returncode == 0, done.stderr[-2000:]
    completed = [line for line in done.stderr.splitlines() if "sync completed" in line]
    assert len(completed) == 3
    assert any("leagues_inserted=" in line for line in completed)
