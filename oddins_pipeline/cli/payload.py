"""`oddins payload ID`."""

from __future__ import annotations

import sys

import click

from oddins_pipeline.cli.context import App, examples, with_workspace
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.payloads import body_of


@click.command(epilog=examples("oddins payload 364 | jq .results", "oddins payload 364 > 364.json"))
@click.argument("payload_id", type=click.IntRange(1))
@with_workspace
def command(app: App, workspace: Workspace, payload_id: int) -> None:
    """Write the archived response PAYLOAD_ID to stdout, byte for byte."""
    with app.reader(workspace) as connection:
        body = body_of(connection, payload_id)
    app.exact = True
    sys.stdout.buffer.write(body)
