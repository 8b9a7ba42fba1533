"""Starting and stopping one PostgreSQL server of the wheel in one directory.

Nothing here locks: `embedded` does, around every `launch` and `stop`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from oddins_pipeline.embedded_postgres import root

logger = logging.getLogger(__name__)

MAJOR = "18"
PORT = 5432
"""Only part of the socket's name; given explicitly because PGPORT would change it."""

MAX_SOCKET_PATH = 100
"""Linux takes 107 bytes, macOS 103."""

START_SECONDS = 60.0
STOP_SECONDS = 30.0
ATTEMPTS = 5


def socket_directory_if_ready(directory: Path) -> Path | None:
    """Where the socket lies, if postmaster.pid says `ready` and a server accepts there."""
    try:
        lines = (directory / "data" / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(lines) < 8 or lines[7].strip() != "ready":  # noqa: PLR2004 - the file's layout
        return None
    where = Path(lines[4])
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(where / f".s.PGSQL.{lines[3]}"))
        except (FileNotFoundError, ConnectionRefusedError):
            return None  # the file of a server that was killed
    return where


def launch(home: Path, directory: Path) -> Path:
    """Starts the server, after making its data if need be."""
    user = root.user() if root.is_root() else None
    binaries = root.binaries(user)
    data = directory / "data"
    if not (data / "PG_VERSION").exists():
        # Made beside and renamed: a kill in the middle leaves nothing that looks like data.
        new = directory / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        root.private_directory(new, user)
        layout = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        # The built-in locale sorts alike on every machine, whatever locales it has.
        layout += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        _run([binaries / "initdb", "-D", new.name, *layout], directory, user)
        new.rename(data)
        if user is not None:
            logger.info(
                "the embedded server's data are in %s: this is root, PostgreSQL refuses to run as"
                " root, and its own user must not be let into %s",
                directory,
                home,
            )
    version = (data / "PG_VERSION").read_text().strip()
    if version != MAJOR:
        raise OSError(f"{data} was made by PostgreSQL {version}, this is {MAJOR}")
    where = _place_for_socket(data, user)
    _forget_dead_server(data)
    options = f"-h '' -p {PORT} -k {where} -c unix_socket_permissions=0700"
    command = ["-w", "-t", f"{START_SECONDS:.0f}", "-D", data.name, "-l", "data/server.log"]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _run([binaries / "pg_ctl", *command, "-o", options, "start"], directory, user)
            break
        except subprocess.SubprocessError:
            # A server that was killed or is stopping lets go of its data within moments.
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.5)
    return where


def stop(directory: Path) -> None:
    """A fast shutdown: open sessions end, and a checkpoint saves the next start a recovery."""
    if socket_directory_if_ready(directory) is None:
        return
    file = directory / "data" / "postmaster.pid"
    os.kill(int(file.read_text().splitlines()[0]), signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _place_for_socket(data: Path, user: str | None) -> Path:
    """`data` itself, or a private temporary directory when a socket's path there would not do."""
    shortened = f"oddins-{os.geteuid()}-{sha256(str(data).encode()).hexdigest()[:10]}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parents = [Path(runtime)] if runtime and os.access(runtime, os.W_OK) else []
    parents += [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 - checked to be private
    for directory in (data, *(parent / shortened for parent in parents)):
        # The path passes through a shell, a list of paths, and libpq's list of hosts.
        if len(os.fsencode(directory / f".s.PGSQL.{PORT}")) > MAX_SOCKET_PATH:
            continue
        if re.fullmatch(r"/[\w./-]+", str(directory), re.ASCII):
            if directory != data:
                root.private_directory(directory, user)
            return directory
    raise OSError("no directory has a path short enough for a socket; set TMPDIR to a short one")


def _forget_dead_server(data: Path) -> None:
    """Removes a killed server's postmaster.pid when its pid is another program's, or a zombie's.

    PostgreSQL would refuse to start for as long as that lasts: in a container, for good.
    """
    file = data / "postmaster.pid"
    if not Path("/proc/self/stat").exists():  # not Linux: pids are not used again so soon
        return
    with suppress(FileNotFoundError, IndexError):
        pid = file.read_text().splitlines()[0].strip()
        try:
            name, state = re.findall(r"\((.*)\) (\S)", Path(f"/proc/{pid}/stat").read_text())[0]
        except (OSError, IndexError):
            name, state = "", ""
        if "postgres" not in name or state == "Z":
            file.unlink()


def _run(command: list[Path | str], directory: Path, user: str | None) -> None:
    """Runs one of PostgreSQL's programs in `directory`. Raises OSError with what it said."""
    try:
        root.run(command, directory, user, timeout=START_SECONDS + 30)
    except subprocess.CalledProcessError as error:
        said = [line for line in f"{error.stdout}{error.stderr}".splitlines() if line.strip()]
        log = directory / "data" / "server.log"
        tail = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
        raise subprocess.SubprocessError("; ".join(said[-2:] + tail)) from error
