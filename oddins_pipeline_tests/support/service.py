"""A configured service: a database, a provider, and the command that joins them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from oddins_pipeline.sample_provider import SampleProvider

KEY = "test-key-1234567890"


PGBOUNCER = "/usr/sbin/pgbouncer"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


LEFT_OUT: dict[str, str] = {}


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))


_counter = iter(range(1_000_000))


def clone(template: str) -> str:
    """The address of a fresh copy of the template."""
    name = f"test_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(at_database(template, "postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE oddins_template")
    return at_database(template, name)


def upgrade_at(url: str) -> None:
    """Brings the database at `url` to the newest revision."""
    from oddins_pipeline.database.upgrade import upgrade

    with psycopg.connect(url, autocommit=True) as connection:
        upgrade(connection)


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """stdout as one JSON object."""
        value: dict[str, Any] = json.loads(self.stdout)
        return value

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The JSON lines of stderr."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]


Oddins = Callable[..., Outcome]


@dataclass(frozen=True)
class Service:
    """A database, a provider, and the command that joins them."""

    run: Oddins
    database: str
    provider: SampleProvider

    def environment(self) -> dict[str, str]:
        """The variables of a configured service."""
        return {
            "DATABASE_URL": self.database,
            "SPORTS_PROVIDER_API_KEY": KEY,
            "API_FOOTBALL_BASE_URL": self.provider.url,
        }

    def sync(self, *arguments: str, **environment: str) -> Outcome:
        """`oddins sync leagues --json …`."""
        variables = {**self.environment(), **environment}
        return self.run("sync", "leagues", "--json", *arguments, **variables)

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a statement."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement, values or None).fetchall()

    def versions(self) -> list[tuple[Any, ...]]:
        """Every row version of the four tables: equal lists mean that nothing moved."""
        found: list[tuple[Any, ...]] = []
        for table in ("countries", "leagues", "seasons", "season_coverage"):
            found += self.query(f"SELECT '{table}', ctid::text, xmin::text FROM {table}")
        return sorted(found)
