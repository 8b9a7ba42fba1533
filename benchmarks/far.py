"""Whole processes when the database is far away: unchanged syncs beside peers, and commands."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median

import psycopg

from benchmarks.proxy import Proxy
from benchmarks.responses import STATES
from benchmarks.rounds import CLI, EMPTY, Bench, Provider, providing
from benchmarks.server import at_database
from benchmarks.statements import STORAGE, counting
from oddins_pipeline.database.lock import lock_id

DELAYS = (0.0, 1.0, 5.0, 20.0)
"""Round-trip times in milliseconds."""
NEAR, FARTHEST = DELAYS[0], DELAYS[-1]
MATERIALIZE, STOCK = "dagster asset materialize", f"{EMPTY}, dagster-postgres"
STOCK_INSTANCE = """
storage:
  postgres:
    postgres_url: {url}
telemetry:
  enabled: false
"""


@dataclass(frozen=True)
class Case:
    """A process to measure: `words` follow `python -m`; status 75 is for one that finds a lock."""

    name: str
    words: str
    database: str = "command"
    status: int = 0


SYNCS = (
    Case(CLI, "oddins_pipeline sync leagues"),
    Case("dlt", "benchmarks.child dlt {url} {provider}", "dlt"),
    Case(MATERIALIZE, "dagster asset materialize --select * -m oddins_pipeline.definitions"),
    Case(STOCK, f"benchmarks.child '{EMPTY}' {{url}} {{provider}}", "stock"),
)
COMMANDS = (
    Case("oddins status", "oddins_pipeline status"),
    Case("oddins changes", "oddins_pipeline changes"),
    Case("oddins doctor", "oddins_pipeline doctor"),
    Case(f"{CLI} --help", "oddins_pipeline sync leagues --help"),
    Case(f"{CLI}, lock held", "oddins_pipeline sync leagues --lock-timeout 0", status=75),
)


@dataclass(frozen=True)
class Wall:
    """Seconds from a process's start to its exit, at one round-trip time in milliseconds."""

    name: str
    delay: float
    repeat: int
    seconds: float


@dataclass(frozen=True)
class Traffic:
    """How often one process waited for an answer, and its statements as the server counted them."""

    name: str
    flights: int
    own: int
    storage: int


@dataclass(frozen=True)
class Far:
    """What was measured."""

    walls: tuple[Wall, ...] = ()
    traffic: tuple[Traffic, ...] = ()

    def delays(self, names: Iterable[str]) -> list[float]:
        """The round-trip times at which one of these was measured."""
        return sorted({one.delay for one in self.walls if one.name in set(names)})

    def seconds(self, name: str, delay: float) -> float | None:
        """The median."""
        return _median(self._by_repeat(name, delay).values())

    def ratio(self, over: str, under: str, delay: float) -> float | None:
        """The median of the rounds' ratios: in one round the two ran one after the other."""
        others = self._by_repeat(under, delay)
        found = self._by_repeat(over, delay).items()
        return _median(seconds / others[repeat] for repeat, seconds in found if repeat in others)

    def beyond(self, name: str) -> float | None:
        """Seconds that the greatest round-trip time adds: of the fastest runs, against noise."""
        near, far = (self._by_repeat(name, delay).values() for delay in (NEAR, FARTHEST))
        return min(far) - min(near) if near and far else None

    def traffic_of(self, name: str) -> Traffic | None:
        """Flights and statements."""
        return next((one for one in self.traffic if one.name == name), None)

    def _by_repeat(self, name: str, delay: float) -> dict[int, float]:
        chosen = (one for one in self.walls if (one.name, one.delay) == (name, delay))
        return {one.repeat: one.seconds for one in chosen}


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def measure(bench: Bench, delays: tuple[float, ...], repeats: int) -> Far:
    """Every case at every round-trip time, after a first load that does not count."""
    for name in {one.database for one in SYNCS}:
        bench.admin(f"CREATE DATABASE {name} TEMPLATE template")
    shutil.rmtree(bench.directory / "dlt", ignore_errors=True)
    with providing(1.0, bench.template) as provider:
        provider.serve(STATES[1])
        runner = _Runner(bench, provider, Proxy(at_database(bench.template, "postgres")))
        for case in SYNCS:
            runner.run(case, NEAR)
        traffic = tuple(runner.traffic(case) for case in (*SYNCS, *COMMANDS))
        walls = tuple(
            Wall(case.name, delay, repeat, runner.run(case, delay))
            for repeat in range(repeats)
            for delay in delays
            for case in (*SYNCS, *(COMMANDS if delay in {NEAR, FARTHEST} else ()))
        )
    for name in {one.database for one in SYNCS}:
        bench.admin(f"DROP DATABASE {name} WITH (FORCE)")
    return Far(walls, traffic)


@dataclass(frozen=True)
class _Runner:
    bench: Bench
    provider: Provider
    proxy: Proxy

    def run(self, case: Case, delay: float) -> float:
        """Seconds of the whole process. Raises RuntimeError when it does not exit as it should."""
        url = at_database(self.proxy.url, case.database)
        words = case.words.format(url=url, provider=self.provider.url)
        environment = self.bench.environment(url, self.provider)
        if case.name == STOCK:
            environment["DAGSTER_HOME"] = self._stock_home(url)
        with self._lock_held() if case.status else nullcontext():
            self.proxy.delay, self.proxy.flights = delay / 1000, 0
            started = time.perf_counter()
            done = subprocess.run(  # noqa: S603 - our own modules
                [sys.executable, "-m", *shlex.split(words)],
                env=environment,
                cwd=self.bench.directory,
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = time.perf_counter() - started
        if done.returncode != case.status:
            raise RuntimeError(f"{case.name} exited with {done.returncode}:\n{done.stderr[-4000:]}")
        self.bench.log(f"{delay:g} ms to the database: {case.name} {seconds:.2f} s")
        return seconds

    def traffic(self, case: Case) -> Traffic:
        """Of one more process."""
        with counting(self.bench.template) as statements:
            self.run(case, NEAR)
        total, storage = statements.total(), statements[STORAGE]
        if case.name == STOCK:
            storage = total
        return Traffic(case.name, self.proxy.flights, total - storage, storage)

    @contextmanager
    def _lock_held(self) -> Iterator[None]:
        url = at_database(self.bench.template, "command")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (lock_id(),))
            yield

    def _stock_home(self, url: str) -> str:
        home = self.bench.directory / "stock"
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text(STOCK_INSTANCE.format(url=url), encoding="utf-8")
        return os.fspath(home)
