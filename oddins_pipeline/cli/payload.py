"""`oddins payload ID`."""

from __future__ import annotations

import sys

import click

from oddins_pipeline.cli.output import prepare, say
from oddins_pipeline.config.target import database_url
from oddins_pipeline.database.payloads import body_of
from oddins_pipeline.database.pool import reading


@click.command()
@click.argument("payload_id", type=click.IntRange(1))
@click.option("--sample", is_flag=True, help="The sample database; APP_ENV=local only.")
def command(payload_id: int, *, sample: bool) -> None:
    """Write the archived answer PAYLOAD_ID to stdout, byte for byte."""
    settings, target = prepare(sample=sample, reads_only=True)
    say(f"database: {target.describe(settings)}")
    url = database_url(settings, target)
    with reading(settings, url) as connection:
        body = body_of(connection, payload_id)
    sys.stdout.buffer.write(body)
