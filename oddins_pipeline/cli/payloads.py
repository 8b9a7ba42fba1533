"""`oddins payloads`."""

from __future__ import annotations

from typing import Any

import click

from oddins_pipeline.cli.context import (
    examples,
    json_option,
    limit_option,
    on_catalog,
    show_json,
    show_wrapped,
)
from oddins_pipeline.cli.words import shown_bytes, shown_time
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.payloads import archived
from oddins_pipeline.logs import sanitize


@click.command(epilog=examples("oddins payloads --rejected", "oddins payloads --json | jq .id"))
@click.option("--rejected", is_flag=True, help="Only rejected responses, with the reason.")
@limit_option
@json_option
@on_catalog()
def command(
    connection: Connection, _: Settings, limit: int, *, rejected: bool, as_json: bool
) -> None:
    """List archived responses, the newest first."""
    found = archived(connection, limit, rejected=rejected)
    for row in found:
        show_json(row) if as_json else show_wrapped(_line(row))
    if not found and not as_json:
        click.echo("no payloads")


def _line(row: dict[str, Any]) -> str:
    params = " ".join(f"{key}={value}" for key, value in row["params"].items())
    state = "published" if row["published_at"] else "not published"
    if row["refusal"]:
        state = f"rejected: {row['refusal']}"
    words = (f"{row['id']}", row["entity"], params, shown_time(row["fetched_at"]))
    size = f"{row['results']:,} entries, {shown_bytes(row['bytes'])}"
    return sanitize("  ".join((*filter(None, words), size, state)))
