"""A throw-away cluster of Debian's PostgreSQL 15, when it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

BINARIES = Path("/usr/lib/postgresql/15/bin")


class Postgres15:
    """A server on a unix socket in a folder of its own, gone at the end."""

    def __init__(self, data: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="oddins-pg15-", dir="/tmp"))
        self.data = str(data or self.folder / "data")
        self.wal = str(self.folder / "wal")

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        named = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--waldir", self.wal)
        self._run("initdb", "-D", self.data, *named, "--no-sync")
        self.start()
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", "oddins_template")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the server and waits until it accepts connections."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", log, "start")

    def stop(self) -> None:
        """Stops it at once, as a crash would."""
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(BINARIES / program), *arguments]
        if os.geteuid() == 0:
            command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *command,
            ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)
