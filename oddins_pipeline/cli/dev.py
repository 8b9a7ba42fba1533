"""`oddins dev`: the Dagster UI and daemon in one command."""

from __future__ import annotations

import os
import socket
import sys
import time

import click

from oddins_pipeline.cli.context import App, examples, sample_option
from oddins_pipeline.config.dagster_home import dagster_home
from oddins_pipeline.config.workspace import SAMPLE_VARIABLE

MAX_START = 120


@click.command(epilog=examples("oddins dev", "oddins dev --sample --port 3001"))
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="Port of the Dagster UI.",
)
@sample_option("Generated data; APP_ENV=local only.")
@click.pass_obj
def command(app: App, port: int, *, sample: bool) -> None:
    """Serve the Dagster UI on 127.0.0.1 and run its daemon, until interrupted."""
    workspace = app.open(sample=sample)
    if sample:
        os.environ[SAMPLE_VARIABLE] = "1"
    home = os.environ["DAGSTER_HOME"] = str(dagster_home(workspace.settings))
    # Dagster's warnings about its own commands and features, for nobody here to act on.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    with app.connect(workspace, purpose="dev"):
        pass  # the schema is there before the first tick
    click.echo(f"starting Dagster (home: {home})", err=True)
    _announce(port)
    arguments = ["-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    arguments += ["--log-level", "error", "-m", "oddins_pipeline.definitions"]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606


def _announce(port: int) -> None:
    """Prints the address once the UI responds, from a process that then ends.

    Its parent ends at once: Dagster, which takes this process's place, reaps no children.
    """
    if child := os.fork():
        os.waitpid(child, 0)
        return
    if os.fork() == 0:
        deadline = time.monotonic() + MAX_START
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    click.echo(f"open http://127.0.0.1:{port}", err=True)
                    break
            time.sleep(0.2)
    os._exit(0)
