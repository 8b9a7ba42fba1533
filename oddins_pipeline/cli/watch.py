"""`oddins watch` and `oddins unwatch`."""

from __future__ import annotations

import click

from oddins_pipeline.catalog.league_names import find_league
from oddins_pipeline.cli.context import (
    examples,
    json_option,
    mark_committed,
    on_catalog,
    show_rows,
    show_wrapped,
)
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database import watched
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.errors import OddinsError

LIST = "Show what is watched, as without LEAGUES."
NONE = "no league is watched: the changes of all leagues are sent"


@click.command(
    epilog=examples("oddins watch 39 'La Liga' --note 'our odds'", "oddins watch --list --json")
)
@click.argument("leagues", nargs=-1)
@click.option("--note", metavar="TEXT", help="Why they are watched.")
@click.option("--list", is_flag=True, expose_value=False, help=LIST)
@json_option
@on_catalog(purpose="watch")
def command(
    connection: Connection,
    _: Settings,
    leagues: tuple[str, ...],
    note: str | None,
    *,
    as_json: bool,
) -> None:
    """Watch LEAGUES (provider ids, names or slugs); with none watched, all leagues count."""
    if leagues:
        known = watched.leagues(connection)
        watched.watch(connection, [find_league(one, known) for one in leagues], note)
        mark_committed()
    show_rows(watched.watched(connection), as_json=as_json, none=NONE)


@click.command(epilog=examples("oddins unwatch 39"))
@click.argument("leagues", nargs=-1, required=True)
@on_catalog(purpose="watch")
def unwatch(connection: Connection, _: Settings, leagues: tuple[str, ...]) -> None:
    """Stop watching LEAGUES, also ids that are not in the catalog yet."""
    known = watched.leagues(connection)
    ids = {one if one.isdecimal() else str(find_league(one, known)) for one in leagues}
    missing = sorted(ids - watched.unwatch(connection, ids))
    if missing:
        raise OddinsError(f"not watched: {', '.join(missing)}")
    mark_committed()
    show_wrapped(f"no longer watched: {', '.join(sorted(ids))}")
