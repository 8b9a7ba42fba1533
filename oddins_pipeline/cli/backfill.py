"""`oddins backfill SEASON…`: rows in `backfill_requests`, which the daemon picks up."""

from __future__ import annotations

import re
from typing import Any

import click

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.season_range import FIRST_SEASON, is_season, last_season
from oddins_pipeline.cli.context import (
    App,
    examples,
    json_option,
    show_json,
    show_wrapped,
    with_workspace,
)
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import backfills
from oddins_pipeline.database.dagster_daemon import daemon_state
from oddins_pipeline.database.requests import SeenQuota, last_quota
from oddins_pipeline.pipeline.quota_policy import background_blocked_reason


def years_of(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> list[int]:
    """The years of `2019` and `2021..2023`, each once, sorted."""
    return sorted({year for value in values for year in _range(value)})


def _range(value: str) -> range:
    found = re.fullmatch(r"(\d{4})(?:\.\.(\d{4}))?", value)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not (is_season(first) and is_season(last) and first <= last):
        raise click.BadParameter(
            f"{value} is not a season or a range such as 2021..2023, from {FIRST_SEASON} to"
            f" {last_season()}"
        )
    return range(first, last + 1)


@click.command(epilog=examples("oddins backfill 2019", "oddins backfill 2019 2021..2023"))
@click.argument("seasons", nargs=-1, required=True, callback=years_of)
@json_option
@with_workspace
def command(app: App, workspace: Workspace, seasons: list[int], *, as_json: bool) -> None:
    """Request SEASONS, such as 2019 2021..2023: one request to the provider each."""
    with app.connect(workspace, purpose="backfill") as connection:
        added = backfills.add(connection, seasons)
        app.committed = True
        quota = last_quota(connection)
        reason = background_blocked_reason(connection, LEAGUES)
        daemon = daemon_state(connection)
    result = {
        "requested": sorted(added),
        "already_open": [year for year in seasons if year not in added],
        "cost": len(added),
        "quota_left": quota.day_remaining if quota else None,
        "daemon": daemon.text,
        "waits_because": reason,
    }
    show_json(result) if as_json else _show(result, quota)


def _show(result: dict[str, Any], quota: SeenQuota | None) -> None:
    added, already = result["requested"], result["already_open"]
    if added:
        show_wrapped(f"requested: {_listed(added)}")
    if already:
        show_wrapped(f"requested before and still open: {_listed(already)}")
    cost = result["cost"]
    left = "quota left: unknown"
    if quota is not None:
        left = f"{quota.day_remaining:,} left (as of {quota.seen_at:%H:%M} UTC)"
    show_wrapped(f"uses {cost} request{'' if cost == 1 else 's'}; {left}")
    show_wrapped(f"daemon: {result['daemon']}")
    if result["waits_because"]:
        show_wrapped(result["waits_because"])


def _listed(years: list[int]) -> str:
    return ", ".join(map(str, years))
