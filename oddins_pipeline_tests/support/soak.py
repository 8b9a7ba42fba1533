"""Weeks in minutes: a provider that changes daily and fails often, starters that come together,
and runs that are killed at random. Afterwards the catalog equals the model, every change is
explained, and nothing has leaked.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from oddins_pipeline_tests.support.histories import History
from oddins_pipeline_tests.support.kills import COMMAND, Victim, wait_until_free
from oddins_pipeline_tests.support.model import Catalog, read_tables
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Service

FAULTS = ("reset", "500", "truncate", "not-json", "empty", "quota", "suspended", "bug")
ENVIRONMENT = {"ODDINS_HTTP_ATTEMPTS": "1", "ODDINS_LOCK_TIMEOUT": "5"}
FAST = (*COMMAND, "--lock-timeout", "30")
LEAKS = {
    "connections": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    "locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "temporary tables": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
    "unfinished runs": "SELECT count(*) FROM dagster.runs"
    " WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')",
}


@dataclass
class Soak:
    """One life of a service; `days` pass in it."""

    service: Service
    directory: Path
    seed: int
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.history = History(self.seed)
        self.model = Catalog()
        self.lasts = 0.0

    def live(self, days: int) -> None:
        """A trouble-free first day, then `days` of trouble, each checked at its end."""
        started = time.monotonic()
        self.publish()
        self.lasts = time.monotonic() - started
        for _ in range(days):
            self.history.pass_time(self.chance.randrange(0, 6))
            self.trouble()
            self.publish()
        self.look_for_leaks()

    def trouble(self) -> None:
        """Several starters at once, at a provider that fails, and death for some of them."""
        response = self.history.full()
        before = read(self.service)
        after = self.model.copy()
        after.apply(response, force=True)
        serve(self.service, response)
        if self.chance.random() < 0.5:
            fault = self.chance.choice(FAULTS)
            self.service.provider.script(fault)
            self.happened[f"fault {fault}"] += 1
        victims = [self.start() for _ in range(self.chance.randrange(1, 4))]
        for victim in self.chance.sample(victims, self.chance.randrange(0, len(victims) + 1)):
            time.sleep(self.chance.random() * self.lasts)
            number = self.chance.choice([signal.SIGKILL, signal.SIGTERM])
            victim.kill(number)
            self.happened[f"{number.name} {victim.state()}"] += 1
        for victim in victims:
            assert "Traceback" not in victim.end()
            self.happened[f"exit {victim.process.returncode}"] += 1
        wait_until_free(self.service, 10)
        found = read(self.service)
        assert found in (before, after.tables()), "a mixture, or an error taken for data"
        if found != before:
            self.model = after

    def start(self) -> Victim:
        """One more sync, with or without patience."""
        arguments = self.chance.choice([COMMAND, FAST])
        return Victim(self.service, self.directory, arguments, ENVIRONMENT)

    def publish(self) -> None:
        """A sync at peace: the catalog is what the model says."""
        response = self.history.full()
        serve(self.service, response)
        self.service.provider.script("")
        done = self.service.sync("--force")
        assert done.code == 0, done.stderr
        self.model.apply(response, force=True)
        assert read(self.service) == self.model.tables()
        failing = self.service.query(
            "SELECT last_error FROM provider_sync_state WHERE last_error_at > last_synced_at"
        )
        assert failing == []

    def look_for_leaks(self) -> None:
        """Nothing is left behind: on the server, and of processes."""
        children = psutil.Process().children(recursive=True)
        strays = [p for p in children if "oddins_pipeline" in " ".join(p.cmdline())]
        assert strays == []
        for what, statement in LEAKS.items():
            assert self.service.query(statement) == [(0,)], what


def read(service: Service) -> dict[str, dict[object, dict[str, object]]]:
    """The four tables, in one transaction, in the model's terms."""
    with psycopg.connect(service.database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return read_tables(connection)
