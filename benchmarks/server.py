"""A temporary PostgreSQL server on loopback, for this benchmark alone."""

from __future__ import annotations

import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from oddins_pipeline.database.upgrade import upgrade
from oddins_pipeline.embedded_postgres import root

DEBIAN = Path("/usr/lib/postgresql/15/bin")
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    # It would write WAL and remove dead rows while they are counted; ANALYZE is run explicitly.
    "autovacuum": "off",
    "log_line_prefix": "%a=",  # see statements.py
}


def default_major() -> int:
    """15 where Debian's is installed, else the wheel's 18."""
    return 15 if DEBIAN.is_dir() else 18


@contextmanager
def running(major: int) -> Iterator[str]:
    """Yields the URL of its database `template`, which has the catalog's schema."""
    directory = Path(tempfile.mkdtemp(prefix="oddins-bench-"))
    owner = None
    if root.is_root():
        owner = "postgres" if major == 15 else root.user()
        shutil.chown(directory, owner, pwd.getpwnam(owner).pw_gid)
    programs = DEBIAN if major == 15 else root.binaries(owner)
    port = _free_port()
    arguments = " ".join(f"-c {name}={value}" for name, value in OPTIONS.items())
    options = f"-p {port} -k {directory} {arguments}"

    def run(program: str, *arguments: str) -> None:
        root.run([programs / program, *arguments], directory, owner, timeout=120)

    run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
    try:
        run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "template")
        url = f"postgresql://postgres:trust@127.0.0.1:{port}/template"
        with psycopg.connect(url, autocommit=True) as connection:
            upgrade(connection)
        yield url
    finally:
        run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
