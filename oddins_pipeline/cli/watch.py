"""`oddins watch` and `oddins unwatch`."""

from __future__ import annotations

import click

from oddins_pipeline.catalog.league_names import find_league
from oddins_pipeline.cli.context import App, json_option, sample_option, show_json, show_lines
from oddins_pipeline.database import watched
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.logs import sanitize


@click.command()
@click.argument("leagues", nargs=-1)
@click.option("--note", help="Why they are watched.")
@click.option("--list", "as_list", is_flag=True, help="Show what is watched.")
@json_option
@sample_option()
@click.pass_obj
def command(
    app: App,
    leagues: tuple[str, ...],
    note: str | None,
    *,
    as_list: bool,
    as_json: bool,
    sample: bool,
) -> None:
    """Watch LEAGUES (provider ids, names or slugs); with none watched, all leagues count."""
    if not leagues and not as_list:
        raise click.UsageError("name a league, or use --list")
    workspace = app.open(sample=sample, reads_only=True)
    with app.connect(workspace, purpose="watch") as connection:
        if leagues:
            known = watched.leagues(connection)
            watched.watch(connection, [find_league(one, known).id for one in leagues], note)
        found = watched.watched(connection)
    if as_json:
        show_json({"watched": found})
    else:
        lines = [(str(row["provider_league_id"]), *_words(row)) for row in found]
        show_lines(lines or [("no league is watched: the changes of all leagues are sent",)])


def _words(row: dict[str, object]) -> tuple[str, ...]:
    name = f"{row['league']} ({row['country']})" if row["league"] else "not in the catalog yet"
    return f"{row['watched_since']:%Y-%m-%d}", sanitize(name, 70), sanitize(str(row["note"] or ""))


@click.command()
@click.argument("leagues", nargs=-1, required=True)
@sample_option()
@click.pass_obj
def unwatch(app: App, leagues: tuple[str, ...], *, sample: bool) -> None:
    """Stop watching LEAGUES, also ids that are not in the catalog yet."""
    workspace = app.open(sample=sample, reads_only=True)
    with app.connect(workspace, purpose="watch") as connection:
        known = watched.leagues(connection)
        ids = {int(o) if o.isdecimal() else find_league(o, known).id for o in leagues}
        missing = sorted(ids - watched.unwatch(connection, ids))
    if missing:
        raise OddinsError(f"not watched: {', '.join(map(str, missing))}")
