"""The statements that a server executes, by the application that sends them: from its log."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.server import at_database

STORAGE = "oddins dagster"
RELOAD_S = 0.5
_LINE = re.compile(r"^(.*)=LOG:  (?:statement|execute [^:]*): ", re.MULTILINE)


@contextmanager
def counting(url: str) -> Iterator[Counter[str]]:
    """Fills the counter, when it ends, with what the whole server executed meanwhile:
    application_name → statements (several sent as one text are one).
    """
    found: Counter[str] = Counter()
    with psycopg.connect(at_database(url, "postgres"), autocommit=True) as connection:
        connection.execute("SET log_statement = 'none'")
        row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        log = Path(row[0]).parent / "log"
        _log_statements(connection, "all")
        before = log.stat().st_size
        try:
            yield found
            with log.open(encoding="utf-8", errors="replace") as lines:
                lines.seek(before)
                found.update(_LINE.findall(lines.read()))
        finally:
            _log_statements(connection, "none")


def _log_statements(connection: psycopg.Connection[tuple[object, ...]], which: str) -> None:
    connection.execute(f"ALTER SYSTEM SET log_statement = '{which}'".encode())
    connection.execute("SELECT pg_reload_conf()")
    time.sleep(RELOAD_S)  # for the postmaster, which new sessions inherit from
