"""`oddins dev`: the Dagster UI and daemon in one command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import click

from oddins_pipeline.cli.context import App, examples, sample_option
from oddins_pipeline.config.dagster_home import dagster_home
from oddins_pipeline.config.workspace import SAMPLE_VARIABLE
from oddins_pipeline.errors import RunFailedError, UsageError

HOST = "127.0.0.1"
MAX_STOP = 6


@click.command(epilog=examples("oddins dev", "oddins dev --sample --port 3001"))
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    metavar="PORT",
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
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise UsageError(f"port {port} is in use; choose another one with --port")
    with app.connect(workspace, purpose="dev"):
        pass  # the schema is there before the first tick
    app.note(f"starting Dagster (home: {home})")
    command = [sys.executable, "-m", "dagster", "dev", "-h", HOST, "-p", str(port)]
    command += ["--log-level", "error", "-m", "oddins_pipeline.definitions"]
    # The runs' lines of JSON, on stdout, are on stderr as text. In a session of its own: Ctrl-C is
    # this process's, or every helper would print a trace.
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as dagster:
        ending = threading.Event()
        threading.Thread(target=_forward, args=(app, dagster, ending), daemon=True).start()
        try:
            if _wait_for_ui(dagster, port):
                app.note(f"open http://{HOST}:{port}")
            dagster.wait()
        finally:
            ending.set()
            _stop(dagster)
    raise RunFailedError(f"Dagster ended with exit code {dagster.returncode}")


def _forward(app: App, dagster: subprocess.Popen[bytes], ending: threading.Event) -> None:
    """Shows what Dagster and its runs say, but not the traces of their interruption."""
    assert dagster.stderr is not None
    for line in dagster.stderr:
        text = line.decode("utf-8", "replace").rstrip("\n")
        if not ending.is_set() and text:
            app.note(click.unstyle(text)) if app.as_json else click.echo(text, err=True)


def _wait_for_ui(dagster: subprocess.Popen[bytes], port: int) -> bool:
    """False when Dagster has ended instead."""
    while dagster.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return True
        time.sleep(0.2)
    return False


def _stop(dagster: subprocess.Popen[bytes]) -> None:
    """Ends Dagster and its helpers: by SIGTERM, so that a run records its end, then by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGTERM)
        deadline = time.monotonic() + MAX_STOP
        while time.monotonic() < deadline:
            dagster.poll()
            os.killpg(dagster.pid, 0)
            time.sleep(0.05)
        os.killpg(dagster.pid, signal.SIGKILL)
