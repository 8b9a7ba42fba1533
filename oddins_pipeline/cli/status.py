"""`oddins status`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import click

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.cli.context import App, json_option, sample_option, show_json, show_table
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.requests import load_subscription
from oddins_pipeline.database.status import load_status
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.pipeline.staleness import problems

REQUESTED_AGAIN_AFTER = timedelta(hours=6)


@click.command()
@json_option
@click.option("--check", is_flag=True, help="Exit 1 when stale or failing.")
@sample_option()
@click.pass_obj
def command(app: App, *, as_json: bool, check: bool, sample: bool) -> None:
    """Last sync, last error, row counts, quota and pending backfills."""
    workspace = app.open(sample=sample, reads_only=True)
    with app.reader(workspace) as connection:
        found = load_status(connection)
    found["subscription"] = _subscription(app, workspace)
    found["problems"] = list(problems(found["sync"], workspace.settings))
    found["healthy"] = not found["problems"]
    show_json(found) if as_json else _show(found)
    if check and not found["healthy"]:
        sys.exit(1)


def _subscription(app: App, workspace: Workspace) -> dict[str, Any] | None:
    """What is known of the subscription, requested again (free) when that is some hours old.

    None without a key.
    """
    settings = workspace.settings
    if settings.api_key is None or workspace.target.sample:
        return None
    failure = None
    with app.connect(workspace, purpose="status") as connection:
        known = load_subscription(connection)
        if known is None or datetime.now(timezone.utc) - known[1] > REQUESTED_AGAIN_AFTER:
            from oddins_pipeline.pipeline.session import request_account

            try:
                request_account(workspace, connection, timeout=5)
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


def _show(found: dict[str, Any]) -> None:
    rows = [
        (table, count["rows"], count["listed"], count["rows"] - count["listed"])
        for table, count in found["rows"].items()
    ]
    show_table(("table", "rows", "listed", "delisted"), rows)
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
    for problem in found["problems"]:
        click.echo(problem)


def _at(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if when else "never"
