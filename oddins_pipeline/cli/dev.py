"""`oddins dev`: the Dagster UI and daemon in one command."""

from __future__ import annotations

import os
import sys

import click

from oddins_pipeline.cli.context import App, sample_option
from oddins_pipeline.config.dagster_home import dagster_home
from oddins_pipeline.config.workspace import SAMPLE_VARIABLE


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@sample_option("Generated data; APP_ENV=local only.")
@click.pass_obj
def command(app: App, port: int, *, sample: bool) -> None:
    """Serve the Dagster UI on 127.0.0.1 and run its daemon, until interrupted."""
    workspace = app.open(sample=sample)
    if sample:
        os.environ[SAMPLE_VARIABLE] = "1"
    os.environ["DAGSTER_HOME"] = str(dagster_home(workspace.settings))
    with app.connect(workspace, purpose="dev"):
        pass  # the schema is there before the first tick
    home = os.environ["DAGSTER_HOME"]
    click.echo(f"open http://127.0.0.1:{port} (Dagster home: {home})", err=True)
    arguments = ["-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    arguments += ["-m", "oddins_pipeline.definitions"]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
