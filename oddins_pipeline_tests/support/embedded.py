"""Embedded servers of tests: looked at from outside, and deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from oddins_pipeline.embedded_postgres import cluster, server


def is_running(home: Path) -> bool:
    """Whether the server under `home` accepts connections; starts nothing."""
    return server.socket_directory_if_ready(cluster._directory(home)) is not None


def destroy(home: Path) -> None:
    """Stops the server under `home`, even when in use, and deletes its data."""
    directory = cluster._directory(home)
    if not directory.is_dir():
        return
    with cluster._locked(directory / "start.lock"):
        server.stop(directory)
        deadline = time.monotonic() + server.STOP_SECONDS
        while directory.exists() and time.monotonic() < deadline:
            # Once more when a server that is stopping still writes or deletes there.
            shutil.rmtree(directory, ignore_errors=True)
    pid, descriptor = cluster._held.pop(directory, (0, -1))
    if pid == os.getpid():
        os.close(descriptor)
    cluster._created.difference_update({pair for pair in cluster._created if pair[0] == directory})


def processes_of(home: Path) -> list[int]:
    """All that was started with this ODDINS_HOME."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if f"ODDINS_HOME={home}\0".encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
    return found
