"""Dagster's daemon over this code location, as an operator runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import psycopg
import pytest
from dagster._core.instance.ref import InstanceRef

from oddins_pipeline.orchestration.ownership import Owner, load_owner

PROJECT = Path(__file__).parents[2]
YAML = PROJECT / "dagster.yaml"
AUTOMATION = {"ODDINS_AUTOMATION": "on", "ODDINS_HTTP_ATTEMPTS": "1", "ODDINS_BACKFILL_PAUSE": "1"}


@contextmanager
def daemon(home: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon over the instance of `home`; its output is in `home/daemon.log`."""
    with (home / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dagster._daemon", "run"),
                *("-m", "oddins_pipeline.definitions"),
            ],
            env={**os.environ, **environment, "DAGSTER_HOME": str(home)},
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            end_tree(process)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for what is left of the process and its children."""
    children = psutil.Process(process.pid).children(recursive=True) if _alive(process) else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()


def _alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


@contextmanager
def instance_at(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of `home`, for this process."""
    ref = InstanceRef.from_dir(str(home), overrides={"python_logs": {}})
    with dg.DagsterInstance.from_ref(ref) as instance:
        yield instance


def owner_of(address: str) -> Owner:
    """Whose runs those of the database at `address` are."""
    with psycopg.connect(address, autocommit=True) as connection:
        return load_owner(connection)


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Polls until `condition` holds; fails the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.5)
    pytest.fail(f"not within {seconds:g} s: {what}")
