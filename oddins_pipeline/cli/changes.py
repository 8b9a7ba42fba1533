"""`oddins changes`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import click

from oddins_pipeline.catalog.lists import TABLES
from oddins_pipeline.cli.context import (
    examples,
    json_option,
    limit_option,
    on_catalog,
    show_json,
    show_wrapped,
)
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.changes import LIST_TABLES, ChangeFilter, changes, describe_change
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.errors import UsageError
from oddins_pipeline.logs import sanitize

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _since(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> datetime | None:
    return None if text is None else moment_of(text, now=datetime.now(timezone.utc))


@click.command(
    epilog=examples("oddins changes --since 7d", "oddins changes --league 39 --json | jq .after")
)
@click.option(
    "--since",
    metavar="AGE|TIME",
    callback=_since,
    help="Only what is newer: 7d, 12h, 30m, 2w, or an ISO date or time (UTC).",
)
@click.option(
    "--entity",
    type=click.Choice(TABLES),
    metavar="TABLE",
    help=f"Only this table's changes: {', '.join(TABLES)}.",
)
@click.option(
    "--league",
    type=click.IntRange(1, 2**31 - 1),
    metavar="ID",
    help="Only this provider league id's changes.",
)
@limit_option
@json_option
@on_catalog()
def command(
    connection: Connection,
    _: Settings,
    since: datetime | None,
    entity: str | None,
    league: int | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """What changed in the catalog, the newest first."""
    wanted = ChangeFilter(limit + 1, since=since, entity=entity, league=league)
    found = changes(connection, wanted)
    shown, more = found[:limit], len(found) > limit
    if as_json:
        for change in shown:
            show_json(change)
    else:
        _show(shown, more=more)


def moment_of(text: str, *, now: datetime) -> datetime:
    """`7d`, `12h` … before `now`, or an ISO date or time, UTC unless it says otherwise.

    Raises UsageError.
    """
    try:
        age = re.fullmatch(r"(\d{1,6})([mhdw])", text)
        if age:
            return now - timedelta(**{UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {sanitize(text, 40)} is neither an age such as 7d, 12h, 30m or 2w nor a"
            " date or time such as 2026-04-02 or 2026-04-02T05:17"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _show(found: list[dict[str, Any]], *, more: bool) -> None:
    if not found:
        click.echo("no changes")
        return
    for change in found:
        show_wrapped(_line(change))
    if more:
        show_wrapped(f"older ones are left out; see them with --limit {len(found) * 10}")


def _line(change: dict[str, Any]) -> str:
    """The name before the key; provider's text is made harmless for a terminal."""
    key, name = change["natural_key"] or "", change["natural_key"] or ""
    if change["league"]:
        _, *year = key.split("/")
        name = " ".join((f"{change['league']} ({change['country']})", *year))
        name += f" [{key}]"
    elif change["entity"] in LIST_TABLES and (row := change["after"] or change["before"]):
        name = f"{row.get('name') or ''} [{key}]".lstrip()
    when = f"{change['changed_at'].astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    words = (change["entity"], sanitize(name, 90), sanitize(describe_change(change), 300))
    return "  ".join((when, *(word for word in words if word)))
