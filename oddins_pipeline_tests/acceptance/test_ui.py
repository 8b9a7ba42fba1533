"""The Dagster UI in a real browser: what an operator sees and does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oddins_pipeline.catalog.season_range import FIRST_SEASON, last_season
from oddins_pipeline.orchestration.checks import CHECKS

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="Chromium is not installed",
)


def test_an_operator_materializes_everything_looks_at_it_and_backfills_two_seasons(
    tmp_path: Path,
) -> None:
    from oddins_pipeline_tests.support.ui import opened, served

    home = tmp_path / "home"
    home.mkdir()
    with served(home, "--sample") as address, opened(address, tmp_path / "profile") as page:
        page.materialize_all()
        page.wait_for_runs(1)
        page.open("/assets/leagues")
        reported = page.read("rows_inserted", "publish_seconds", "1250", "initial load")
        assert "slug never changes" in reported
        assert "league.name" in reported
        page.open("/assets/raw_leagues")
        page.read("payload_sha256", "software_version", "settings_sha256", "quota_left")
        page.open("/assets/seasons?view=checks")
        page.read(*(check.name for check in CHECKS if check.asset == "seasons"))
        page.launch_backfill("2025", "2024")
        page.wait_for_seasons(missing=last_season() - FIRST_SEASON + 1 - 2)
