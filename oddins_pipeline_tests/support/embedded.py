"""Embedded servers of tests: looked at from outside, and deleted."""

from __future__ import annotations

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
