"""`oddins metrics`."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click
from prometheus_client import CollectorRegistry, generate_latest, write_to_textfile
from prometheus_client.exposition import start_http_server

from oddins_pipeline.cli.context import App, examples, with_workspace
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.pool import reading
from oddins_pipeline.errors import OddinsError, UsageError
from oddins_pipeline.pipeline.metrics import CatalogCollector

DEFAULT = "127.0.0.1:9464"


@click.command(epilog=examples("oddins metrics", "oddins metrics --listen 0.0.0.0:9464"))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file, for node_exporter's textfile collector.",
)
@click.option(
    "--listen",
    is_flag=False,
    flag_value=DEFAULT,
    metavar="HOST:PORT",
    help=f"Serve /metrics until interrupted, by default on {DEFAULT}.",
)
@with_workspace
def command(app: App, workspace: Workspace, output: Path | None, listen: str | None) -> None:
    """Print Prometheus metrics; exit 1 when the catalog cannot be read."""
    if output and os.path.exists(output) and not output.is_file():  # noqa: PTH110 - raises nothing
        raise UsageError(f"--output {output} is not a file; name one, or leave it out for stdout")
    registry = CollectorRegistry()
    registry.register(CatalogCollector(partial(reading, workspace), workspace.settings))
    if listen is not None:
        _serve(app, registry, listen)
        return
    if output is None:
        text = generate_latest(registry).decode()
        click.echo(text, nl=False)
    else:
        try:
            write_to_textfile(str(output), registry)
            text = output.read_text("utf-8")
        except OSError as error:
            raise OddinsError(f"{output} cannot be written: {error.strerror}") from None
    sys.exit(0 if "\noddins_up 1.0\n" in text else 1)


def _serve(app: App, registry: CollectorRegistry, address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"cannot listen on {address} (HOST:PORT): {error}") from None
    app.note(f"metrics: http://{address}/metrics")
    try:
        thread.join()
    finally:
        server.shutdown()
