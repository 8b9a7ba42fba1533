"""`oddins payload ID`."""

from __future__ import annotations

import sys

import click

from oddins_pipeline.cli.context import App, examples, sample_option
from oddins_pipeline.database.payloads import body_of


@click.command(epilog=examples("oddins payload 364 | jq .results", "oddins payload 364 > 364.json"))
@click.argument("payload_id", type=click.IntRange(1))
@sample_option()
@click.pass_obj
def command(app: App, payload_id: int, *, sample: bool) -> None:
    """Write the archived response PAYLOAD_ID to stdout, byte for byte."""
    workspace = app.open(sample=sample, reads_only=True)
    with app.reader(workspace) as connection:
        body = body_of(connection, payload_id)
    app.exact = True
    sys.stdout.buffer.write(body)
