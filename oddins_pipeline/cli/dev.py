"""`oddins dev`: web page and daemon on one command."""

from __future__ import annotations

import os
import sys

import click

from oddins_pipeline.cli.output import prepare, say
from oddins_pipeline.config.dagster_home import dagster_home
from oddins_pipeline.config.target import SAMPLE_VARIABLE, database_url
from oddins_pipeline.database import revision
from oddins_pipeline.database.connection import connect


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--sample", is_flag=True, help="Generated data; APP_ENV=local only.")
def command(port: int, *, sample: bool) -> None:
    """Serve Dagster's web page on 127.0.0.1 and run its daemon, until interrupted."""
    settings, target = prepare(sample=sample)
    say(f"database: {target.describe(settings)}")
    if sample:
        os.environ[SAMPLE_VARIABLE] = "1"
    os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    url = database_url(settings, target)
    with connect(url, settings, purpose="dev") as connection:
        revision.ensure_current(connection, url=url, upgrade_itself=settings.app_env == "local")
    say(f"open http://127.0.0.1:{port} (Dagster home: {os.environ['DAGSTER_HOME']})")
    arguments = ["-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    arguments += ["-m", "oddins_pipeline.definitions"]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
