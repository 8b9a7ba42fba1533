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
    """A server on a unix socket in a directory of its own, removed at the end.

    `listen` adds addresses at `port`, to which `access` (lines of pg_hba.conf) holds; `settings`
    are further ones, `files` go into its data directory; `prefix` is a command that runs the
    server somewhere else.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        prefix: tuple[str, ...] = (),
        listen: str = "",
        port: int = 5432,
        access: str = "",
        settings: tuple[str, ...] = (),
        files: dict[str, str] | None = None,
    ) -> None:
        self._prefix = prefix
        self._settings = (f"listen_addresses={listen}", f"port={port}", *settings)
        self._port = port
        self._files = dict(files or {})
        if access:
            self._files["pg_hba.conf"] = f"local all all trust\n{access}\n"
        self.directory = Path(tempfile.mkdtemp(prefix="oddins-pg15-", dir="/tmp"))
        self.data = str(data or self.directory / "data")
        self.wal = str(self.directory / "wal")

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        named = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--waldir", self.wal)
        self._run("initdb", "-D", self.data, *named, "--no-sync")
        for name, text in self._files.items():
            self._put(name, text)
        self.start()
        where = ("-h", str(self.directory), "-p", str(self._port), "-U", "postgres")
        self._run("createdb", *where, "oddins_template")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Starts the server and waits until it accepts connections."""
        settings = " ".join(f"-c {setting}" for setting in self._settings)
        options = f"-k {self.directory} -c fsync=off {settings}"
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", log, "start")

    def stop(self) -> None:
        """Stops it at once, as a crash would."""
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def become_standby(self) -> None:
        """From its next start on it recovers for ever, and cannot be written to."""
        self._put("standby.signal", "")

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.directory}&port={self._port}"

    def _put(self, name: str, text: str) -> None:
        file = Path(self.data) / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        if os.geteuid() == 0:
            shutil.chown(file, "postgres", "postgres")

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
        command = [*self._prefix, *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.directory)
