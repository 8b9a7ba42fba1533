"""`oddins backfill SEASON…`: rows in `backfill_requests`, which the daemon picks up."""

from __future__ import annotations

import re

import click

from oddins_pipeline.catalog.season_range import FIRST_SEASON, is_season, last_season
from oddins_pipeline.cli.output import prepare, say, show_json
from oddins_pipeline.config.target import database_url
from oddins_pipeline.database import backfills, revision
from oddins_pipeline.database.connection import connect, database_errors
from oddins_pipeline.database.dagster_daemon import daemon_state
from oddins_pipeline.database.requests import last_quota
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


@click.command()
@click.argument("seasons", nargs=-1, required=True, callback=years_of)
@click.option("--sample", is_flag=True, help="The sample database; APP_ENV=local only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(seasons: list[int], *, sample: bool, as_json: bool) -> None:
    """Ask for SEASONS, such as 2019 2021..2023: one request of the provider each."""
    settings, target = prepare(sample=sample, reads_only=True)
    say(f"database: {target.describe(settings)}")
    url = database_url(settings, target)
    with connect(url, settings, purpose="backfill") as connection, database_errors():
        revision.ensure_current(connection, url=url, upgrade_itself=settings.app_env == "local")
        added = backfills.add(connection, seasons)
        quota = last_quota(connection)
        blocked_reason = background_blocked_reason(connection)
        daemon = daemon_state(connection)
    result = {
        "requested": sorted(added),
        "already_open": [year for year in seasons if year not in added],
        "cost": len(added),
        "quota_left": quota[0] if quota else None,
        "daemon": daemon,
        "waits_because": blocked_reason,
    }
    show_json(result) if as_json else _show(result)


def _show(result: dict[str, object]) -> None:
    added, already = result["requested"], result["already_open"]
    if added:
        click.echo(f"requested: {_listed(added)}")
    if already:
        click.echo(f"requested before and still open: {_listed(already)}")
    left = result["quota_left"]
    quota = f"{left} requests were left when last told" if left is not None else "quota not told"
    click.echo(f"this will cost {result['cost']} requests; {quota}")
    click.echo(f"daemon: {result['daemon']}")
    if result["waits_because"]:
        click.echo(str(result["waits_because"]))


def _listed(years: object) -> str:
    return ", ".join(str(year) for year in years)  # type: ignore[attr-defined]
