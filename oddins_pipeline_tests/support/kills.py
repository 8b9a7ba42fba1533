"""Dealing death to a sync, and looking at what it leaves behind."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from oddins_pipeline.catalog.normalise import normalise
from oddins_pipeline.catalog.rows import CountryRow, LeagueRow, SeasonRow
from oddins_pipeline.database.lock import lock_id
from oddins_pipeline_tests.support.responses import Entries
from oddins_pipeline_tests.support.service import Service

Content = tuple[list[CountryRow], list[LeagueRow], list[SeasonRow]]
RUN = "application_name LIKE 'oddins sync %%' AND datname = current_database()"
COMMAND = ("-m", "oddins_pipeline", "sync", "leagues", "--force")
MATERIALIZE = (
    *("-m", "dagster", "asset", "materialize"),
    *("--select", "raw_leagues,countries,leagues,seasons,season_coverage"),
    *("-m", "oddins_pipeline.definitions"),
)


def content_of(entries: list[Any]) -> Content:
    """What the tables must show of a response."""
    batch = normalise(entries)
    return batch.countries, batch.leagues, batch.seasons


def content_now(service: Service) -> Content:
    """What the tables show, in one REPEATABLE READ transaction, of what is listed."""
    coverage = ", ".join(f"c.{name}" for name in SeasonRow._fields[5:])
    with psycopg.connect(service.database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        countries = connection.execute(
            "SELECT name, code, flag_url FROM countries WHERE delisted_at IS NULL"
            ' ORDER BY name COLLATE "C"'
        ).fetchall()
        leagues = connection.execute(
            "SELECT provider_league_id, c.name, l.name, l.type, l.logo_url FROM leagues l"
            " JOIN countries c ON c.id = country_id WHERE l.delisted_at IS NULL ORDER BY 1"
        ).fetchall()
        seasons = connection.execute(
            f"SELECT provider_league_id, year, start_date::text, end_date::text, is_current,"
            f" {coverage} FROM seasons s JOIN leagues l ON l.id = league_id"
            " JOIN season_coverage c ON season_id = s.id"
            " WHERE s.delisted_at IS NULL ORDER BY 1, 2"
        ).fetchall()
    return (
        [CountryRow(*row) for row in countries],
        [LeagueRow(*row) for row in leagues],
        [SeasonRow(*row) for row in seasons],
    )


@dataclass
class Victim:
    """One sync in a process of its own."""

    service: Service
    directory: Path
    arguments: tuple[str, ...] = COMMAND
    environment: dict[str, str] = field(default_factory=dict)
    query: str = ""

    def __post_init__(self) -> None:
        (self.before,) = self.service.query("SELECT coalesce(max(id), 0) FROM provider_payloads")[0]
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments],
            env={**os.environ, **self.service.environment(), **self.environment},
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self, number: signal.Signals) -> None:
        """Sends the signal, noting what the run's connection was doing."""
        found = self.service.query(f"SELECT query FROM pg_stat_activity WHERE {RUN}")
        self.query = str(found[0][0]) if found else ""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def end(self) -> str:
        """Waits for the process, and returns what it wrote to stderr."""
        return self.process.communicate(timeout=180)[1]

    def state(self) -> str:
        """How far the sync had come."""
        found = self.service.query(
            "SELECT run_id, published_at IS NOT NULL FROM provider_payloads WHERE id > %s",
            self.before,
        )
        if not found:
            return "before archive" if self.query else "before connecting"
        run_id, published = found[0]
        if not published:
            return "in COPY" if self.query.startswith("COPY") else "before commit"
        events, ended = self.service.query(
            "SELECT count(*) FILTER (WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
            "  AND asset_key <> '[\"raw_leagues\"]'),"
            " count(*) FILTER (WHERE dagster_event_type IN ('PIPELINE_SUCCESS',"
            "  'PIPELINE_FAILURE')) FROM dagster.event_logs WHERE run_id = %s",
            run_id,
        )[0]
        if ended:
            return "finished"
        return ("after commit", "in events", "in events", "in events", "after events")[events]


def assert_survived(
    service: Service, victim: Victim, allowed: list[Content], *, seconds: float = 5
) -> None:
    """Tables whole, the lock free within seconds, events truthful."""
    wait_until_free(service, seconds)
    assert content_now(service) in allowed, f"a mixture after a death {victim.state()}"
    assert_events_truthful(service)


def assert_events_truthful(service: Service) -> None:
    """Materializations only of what was committed."""
    reported = service.query(
        'SELECT DISTINCT (regexp_match(event, \'"dagster/data_version": "([0-9a-f]{64})"\'))[1]'
        " FROM dagster.event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
        " AND asset_key <> '[\"raw_leagues\"]'"
    )
    published = service.query("SELECT sha256 FROM provider_payloads WHERE published_at IS NOT NULL")
    assert set(reported) <= set(published), "an event for what was never committed"


def wait_until_free(service: Service, seconds: float) -> None:
    """Until nobody holds the lock."""
    deadline = time.monotonic() + seconds
    free = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {HELD}"
    while service.query(free) != [(0,)]:
        assert time.monotonic() < deadline, f"the lock is held {seconds} s after the death"
        time.sleep(0.1)


HELD = f"(classid::bigint << 32 | objid::bigint) = {lock_id()}"


def spread(states: list[str]) -> str:
    """How often each state was hit."""
    return ", ".join(f"{state} {count}" for state, count in sorted(Counter(states).items()))


def other(entries: Entries, turn: int) -> Entries:
    """Another response: every league has another logo, and one league is missing or back."""
    changed = copy.deepcopy(entries)
    for entry in changed:
        entry["league"]["logo"] = f"https://media.example.test/{turn}.png"
    return changed[turn % 2 :]


def when(service: Service, query: str, act: str, *, seconds: float = 30) -> threading.Event:
    """Runs `act` on the sync's connection as soon as it runs a statement like `query`."""
    done = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + seconds
        statement = f"SELECT {act} FROM pg_stat_activity WHERE {RUN} AND query LIKE %s"
        with psycopg.connect(service.database, autocommit=True) as connection:
            while time.monotonic() < deadline:
                if connection.execute(statement, (query,)).fetchall():
                    done.set()
                    return

    threading.Thread(target=watch, daemon=True).start()
    return done
