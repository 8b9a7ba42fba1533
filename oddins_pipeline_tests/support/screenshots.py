"""`make screenshots`: pictures of the UI for the documentation, over generated data."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from oddins_pipeline.embedded_postgres import cluster
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline_tests.support.histories import History
from oddins_pipeline_tests.support.responses import body_of
from oddins_pipeline_tests.support.ui import LOCATION, Page, opened, served


def take(page: Page, provider: SampleProvider, directory: Path) -> None:
    """Two days of the catalog, then its graph, an asset, a check, the automation, a backfill of two
    seasons and a run that failed.
    """
    for day in (1, 2):
        page.materialize_all()
        page.wait_for_runs(day)
    page.open(f"{LOCATION}/asset-groups/catalog")
    page.read("Materialized", "season_coverage")
    page.picture(directory / "graph.png")
    page.open("/assets/leagues?view=events")
    page.read("rows_updated", "changes")
    page.picture(directory / "changes.png")
    page.open("/assets/leagues?view=overview")
    page.click("Plots")
    page.read("rows_updated")
    page.picture(directory / "asset.png")
    page.open("/assets/seasons?view=checks")
    page.click("one_current")
    page.read("More than one current season")
    page.picture(directory / "checks.png")
    page.open("/automation")
    page.read("daily_league_sync", "catch_up_sensor", "weekly_pruning")
    page.picture(directory / "automation.png")
    provider.bodies = None  # its own world, which it filters
    page.launch_backfill("2023", "2024")
    page.wait_for_runs(3)
    page.click_link("/runs/b/")
    page.read("100% completed")
    page.picture(directory / "backfill.png")
    provider.script("suspended")
    page.materialize_all()
    page.open("/runs")
    page.read("Failure")
    page.click_link("/runs/")
    page.read("RUN_FAILURE")
    page.picture(directory / "failure.png")


def main(directory: Path) -> None:
    """Serves, looks, and cleans up."""
    directory.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="oddins-pictures-"))
    life = History(seed=4, scale=1)
    first = life.full()
    life.pass_time(40)
    with SampleProvider() as provider:
        provider.bodies = [body_of(json.loads(json.dumps(first))), body_of(life.full())]
        environment = {
            "DATABASE_URL": cluster.start(home, "oddins_odds"),
            "SPORTS_PROVIDER_API_KEY": "no-key-is-needed-here",
            "API_FOOTBALL_BASE_URL": provider.url,
        }
        with served(home, **environment) as address, opened(address, home / "profile") as page:
            take(page, provider, directory)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
