"""`oddins status`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import click

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.cli.output import prepare, say, show_json, show_table
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import Target, database_url
from oddins_pipeline.database import revision
from oddins_pipeline.database.connection import connect, database_errors
from oddins_pipeline.database.pool import reader
from oddins_pipeline.database.requests import load_subscription
from oddins_pipeline.database.status import Health, health, report
from oddins_pipeline.errors import ProviderError, SchemaError

ASKED_AGAIN_AFTER = timedelta(hours=6)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--check", is_flag=True, help="Exit 1 when stale or failing.")
@click.option("--sample", is_flag=True, help="The sample database; APP_ENV=local only.")
def command(*, as_json: bool, check: bool, sample: bool) -> None:
    """Last sync, last error, row counts, quota and pending backfills."""
    settings, target = prepare(sample=sample, reads_only=True)
    say(f"database: {target.describe(settings)}")
    url = database_url(settings, target)
    with reader(settings, url) as connection:
        if not revision.is_current(connection):
            raise SchemaError("the database has no catalog yet; run `oddins sync leagues`")
        found = report(connection)
    found["subscription"] = _subscription(settings, target, url)
    verdict = health(found, stale_after=timedelta(hours=settings.stale_after_hours))
    if as_json:
        show_json({**found, "healthy": verdict.healthy, "problems": list(verdict.problems)})
    else:
        _show(found, verdict)
    if check and not verdict.healthy:
        sys.exit(1)


def _subscription(settings: Settings, target: Target, url: str) -> dict[str, Any] | None:
    """What is known of the subscription, asked again (free) when that is some hours old.

    None without a key: then there is nobody to ask.
    """
    if settings.api_key is None or target.sample:
        return None
    from oddins_pipeline.pipeline.sync import ask_account

    failure = None
    with connect(url, settings, purpose="status") as connection, database_errors():
        known = load_subscription(connection)
        if known is None or datetime.now(timezone.utc) - known[1] > ASKED_AGAIN_AFTER:
            try:
                ask_account(settings, connection, timeout=5)
            except ProviderError as error:
                failure = str(error)
            known = load_subscription(connection)
    if known is None:
        return {"warning": f"the subscription is not known: {failure}"}
    account, seen_at = known
    return {
        "plan": account.plan,
        "ends_at": account.ends_at,
        "active": account.active,
        "seen_at": seen_at,
        "warning": warning(account, days=settings.subscription_warning_days),
    }


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
    for backfill in found["backfills_pending"]:
        why = f": {backfill['error']}" if backfill["error"] else ""
        click.echo(
            f"backfill of {backfill['season']}: {backfill['status']},"
            f" {backfill['attempts']} attempts so far{why}"
        )
    subscription = found["subscription"]
    if subscription and subscription["warning"]:
        click.echo(f"warning: {subscription['warning']}")
    for problem in verdict.problems:
        click.echo(problem)


def _at(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if when else "never"
