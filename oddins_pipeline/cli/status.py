"""`oddins status`."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import click

from oddins_pipeline.cli.output import prepare, say, show_json, show_table
from oddins_pipeline.database import revision
from oddins_pipeline.database.pool import reading
from oddins_pipeline.database.report import Health, health, report
from oddins_pipeline.errors import SchemaError
from oddins_pipeline.target import database_url


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--check", is_flag=True, help="Exit 1 when stale or failing.")
@click.option("--sample", is_flag=True, help="The sample database; APP_ENV=local only.")
def command(*, as_json: bool, check: bool, sample: bool) -> None:
    """Last sync, last error, row counts and quota."""
    settings, target = prepare(sample=sample, reads_only=True)
    say(f"database: {target.describe(settings)}")
    url = database_url(settings, target)
    with reading(settings, url) as connection:
        if not revision.is_current(connection):
            raise SchemaError("the database has no catalog yet; run `oddins sync leagues`")
        found = report(connection)
    verdict = health(found, stale_after=timedelta(hours=settings.stale_after_hours))
    if as_json:
        show_json({**found, "healthy": verdict.healthy, "problems": list(verdict.problems)})
    else:
        _show(found, verdict)
    if check and not verdict.healthy:
        sys.exit(1)


def _show(found: dict[str, Any], verdict: Health) -> None:
    rows = [
        (table, count["rows"], count["listed"], count["rows"] - count["listed"])
        for table, count in found["rows"].items()
    ]
    show_table("", ("table", "rows", "listed", "delisted"), rows)
    for state in found["sync"]:
        click.echo(
            f"{state['entity']} ({state['source']}): last synced {_at(state['last_synced_at'])}"
        )
        if state["last_error_at"]:
            when = "failing since" if state["failing"] else "last error"
            click.echo(f"  {when} {_at(state['last_error_at'])}: {state['last_error']}")
    quota = found["quota"]
    if quota:
        click.echo(
            f"quota: {quota['day_remaining']} of {quota['day_limit']} requests left,"
            f" seen {_at(quota['seen_at'])}; {found['requests_today']} sent today from here"
        )
    for problem in verdict.problems:
        click.echo(problem)


def _at(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if when else "never"
