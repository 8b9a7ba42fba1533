"""`oddins status`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import click

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.catalog.lists import ENTITIES
from oddins_pipeline.cli.context import (
    App,
    examples,
    json_option,
    show_json,
    show_table,
    show_wrapped,
    with_workspace,
)
from oddins_pipeline.cli.words import shown_anomalies, shown_time
from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import receivers
from oddins_pipeline.database.requests import load_subscription
from oddins_pipeline.database.status import load_status
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.pipeline.staleness import problems

REQUESTED_AGAIN_AFTER = timedelta(hours=6)


@click.command(epilog=examples("oddins status", "oddins status --check", "oddins status --json"))
@json_option
@click.option("--check", is_flag=True, help="Exit 1 when stale, failing or suspended.")
@with_workspace
def command(app: App, workspace: Workspace, *, as_json: bool, check: bool) -> None:
    """Last sync, last error, row counts, quota and pending backfills."""
    with app.reader(workspace) as connection:
        found = load_status(connection)
        known = receivers.load(connection, workspace.settings)
    found["receivers_suspended"] = [one.name for one in known if one.suspended_at]
    found["subscription"] = _subscription(app, workspace)
    found["problems"] = list(problems(found["sync"], workspace.settings, found["at"]))
    found["problems"] += [
        f"suspended: nothing is sent to the webhook receiver {name}; fix it, then"
        f" `oddins receivers resume {name}`"
        for name in found["receivers_suspended"]
    ]
    found["healthy"] = not found["problems"]
    show_json(found) if as_json else _show(found, workspace.settings)
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


def _show(found: dict[str, Any], settings: Settings) -> None:
    for problem in found["problems"]:
        show_wrapped("", lead=sanitize(problem), color="red")
    if found["healthy"]:
        show_wrapped("", lead="healthy", color="green")
    for state in found["sync"]:
        _show_state(state, found["problems"])
    known = {state["entity"] for state in found["sync"]}
    for entity in ENTITIES:
        if entity.name not in known:
            click.echo(f"{entity.name}: never synced")
    show_wrapped(f"next scheduled sync: {next_sync(settings, datetime.now(timezone.utc))}")
    rows = [
        (table, count["rows"], count["listed"], count["rows"] - count["listed"])
        for table, count in found["rows"].items()
    ]
    show_table(("table", "rows", "listed", "delisted"), rows)
    quota = found["quota"]
    if quota:
        show_wrapped(
            f"quota: {quota['day_remaining']:,} of {quota['day_limit']:,} requests left, seen"
            f" {shown_time(quota['seen_at'])}; {found['requests_today']:,} sent today from here"
        )
    for line in _notes(found):
        show_wrapped(line)


def _show_state(state: dict[str, Any], problems: list[str]) -> None:
    """An error that stands among the problems is not repeated."""
    at, error = state["last_synced_at"], state["last_error"]
    synced = f"last synced {shown_time(at)}" if at else "never synced"
    show_wrapped(f"{state['entity']} ({state['source']}): {synced}")
    if state["last_error_at"]:
        when = "failing since" if state["failing"] else "resolved: last error"
        why = "" if any(one.endswith(error) for one in problems) else f": {sanitize(error)}"
        show_wrapped(f"  {when} {shown_time(state['last_error_at'])}{why}")


def _notes(found: dict[str, Any]) -> Iterator[str]:
    for entity in sorted({row["entity"] for row in found["anomalies"]}):
        kinds = {r["kind"]: r["count"] for r in found["anomalies"] if r["entity"] == entity}
        if unusual := shown_anomalies(kinds):
            yield f"{entity}: {unusual}"
    for backfill in found["backfills_pending"]:
        why = f": {sanitize(backfill['error'])}" if backfill["error"] else ""
        yield (
            f"backfill of {backfill['season']}: {backfill['status']},"
            f" {backfill['attempts']} attempts so far{why}"
        )
    subscription = found["subscription"]
    if subscription and subscription["warning"]:
        yield f"warning: {subscription['warning']}"


def next_sync(settings: AutomationSettings, now: datetime) -> str:
    """When the daily schedule starts next. Dagster is imported for other cron schedules only: it
    has checked them already, when the settings were read.
    """
    if settings.automation == "off":
        return "none by itself (ODDINS_AUTOMATION=off)"
    daily = re.fullmatch(r"(\d{1,2}) (\d{1,2}) \* \* \*", settings.sync_cron)
    if daily is None:
        from dagster._utils.schedules import get_next_cron_tick

        return shown_time(get_next_cron_tick(settings.sync_cron, now, settings.sync_timezone))
    local = now.astimezone(ZoneInfo(settings.sync_timezone))
    today = local.replace(hour=int(daily[2]), minute=int(daily[1]), second=0, microsecond=0)
    return shown_time(today if today > local else today + timedelta(days=1))
