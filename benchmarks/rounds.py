"""Runs every implementation through the three states of one size, and checks the tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.content import Content, catalog_content, natural_content
from benchmarks.meter import snapshot
from benchmarks.responses import STATES
from benchmarks.server import at_database

PROJECT = Path(__file__).resolve().parent.parent
CLI = "oddins sync leagues"
EMPTY = "empty Dagster run"


@dataclass(frozen=True)
class Implementation:
    """A way to load a response, in a database of its own, up to `max_scale`, for `max_rounds`."""

    name: str
    database: str
    max_scale: float = 1_000
    max_rounds: int = 100
    schema: str = "public"

    def is_measured(self, scale: float, repeat: int) -> bool:
        """A limited implementation takes minutes beyond ten times the size: one round there."""
        limited = scale > 10 and self.max_rounds < 100
        rounds = min(self.max_rounds, 1) if limited else self.max_rounds
        return scale <= self.max_scale and repeat < rounds


IMPLEMENTATIONS = (
    Implementation("floor", "floor"),
    Implementation("oddins", "oddins"),
    Implementation("executemany", "many", max_scale=10),
    Implementation("row by row", "single", max_scale=1, max_rounds=1),
    Implementation("dlt", "dlt", max_scale=100, max_rounds=5, schema="dlt_catalog"),
    Implementation(CLI, "command", max_scale=1),
    Implementation(EMPTY, "command", max_scale=1),
)


@dataclass(frozen=True)
class Measurement:
    """One load. `seconds` from the request to the commit (None: only the process was timed),
    `wall` from the process's start to its exit, memory in KB (`memory_kb` is `peak_kb` without the
    interpreter and its modules), WAL in bytes; the other counts are rows of the four tables.
    """

    scale: float
    repeat: int
    state: str
    implementation: str
    seconds: float | None
    wall: float
    peak_kb: int
    memory_kb: int
    inserted: int
    rewritten: int
    dead: int
    wal: int
    identities_used: int


class WrongTablesError(Exception):
    """An implementation left tables that differ from the response."""


@dataclass(frozen=True)
class Provider:
    """The provider's process; `size` is the response's, in bytes."""

    url: str
    size: int
    expected: dict[str, Content]
    process: subprocess.Popen[str]

    def serve(self, state: str) -> None:
        """Makes it serve the response of `state`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(state + "\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == {"serving": state}


@contextmanager
def providing(scale: float, template: str) -> Iterator[Provider]:
    """A provider of responses of this size, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.provider", str(scale), template]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the provider's process ended; its error is above")
        ready = json.loads(line)
        yield Provider(ready["url"], ready["bytes"], ready["expected"], process)
        process.stdin.close()


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark: where its server and its scratch directory are."""

    template: str
    directory: Path
    log: Callable[[str], None]

    def size(self, scale: float, repeats: int, names: set[str]) -> tuple[list[Measurement], int]:
        """Every measurement of one size, and the response's bytes."""
        found: list[Measurement] = []
        with providing(scale, self.template) as provider:
            self.log(f"scale {scale:g}: a response of {provider.size / 1e6:.1f} MB")
            for repeat in range(repeats):
                chosen = [
                    one
                    for one in IMPLEMENTATIONS
                    if one.name in names and one.is_measured(scale, repeat)
                ]
                if not chosen:
                    break
                shift = repeat % len(chosen)
                # Rotated, so that none is always first; the empty run needs the command's database.
                rotated = chosen[shift:] + chosen[:shift]
                rotated.sort(key=lambda one: one.name == EMPTY)
                found += self._round(provider, scale, repeat, rotated)
        return found, provider.size

    def _round(
        self, provider: Provider, scale: float, repeat: int, chosen: list[Implementation]
    ) -> list[Measurement]:
        shutil.rmtree(self.directory / "dlt", ignore_errors=True)
        databases = sorted({one.database for one in chosen})
        for name in databases:
            self.admin(f"CREATE DATABASE {name} TEMPLATE template")
        found = []
        for state in STATES:
            provider.serve(state)
            for implementation in chosen:
                found.append(self._measure(implementation, provider, scale, repeat, state))
                one = found[-1]
                self.log(
                    f"scale {scale:g}, round {repeat + 1}, {state}: {implementation.name}"
                    f" {one.wall if one.seconds is None else one.seconds:.2f} s"
                )
        for name in databases:
            self.admin(f"DROP DATABASE {name}")
        return found

    def _measure(
        self,
        implementation: Implementation,
        provider: Provider,
        scale: float,
        repeat: int,
        state: str,
    ) -> Measurement:
        url = at_database(self.template, implementation.database)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
        before = snapshot(url, implementation.schema)
        wall, peak_kb, output = self._run(implementation, url, provider)
        did = snapshot(url, implementation.schema) - before
        if implementation.name != EMPTY:
            self._check(implementation, url, provider.expected[state])
        return Measurement(
            scale=scale,
            repeat=repeat,
            state=state,
            implementation=implementation.name,
            seconds=None if implementation.name in {CLI, EMPTY} else output["seconds"],
            wall=wall,
            peak_kb=output.get("peak_kb", peak_kb),
            memory_kb=output.get("peak_kb", peak_kb) - output.get("interpreter_kb", 0),
            inserted=did.inserted,
            rewritten=did.rewritten,
            dead=did.dead,
            wal=did.wal,
            identities_used=max(0, did.identities - _identified(did.inserted, provider, state)),
        )

    def _run(
        self, implementation: Implementation, url: str, provider: Provider
    ) -> tuple[float, int, dict[str, Any]]:
        """Wall seconds, peak KB and the process's output. Raises RuntimeError when it fails."""
        command = [sys.executable, "-m", "benchmarks.child", implementation.name, url, provider.url]
        if implementation.name == CLI:
            command = [sys.executable, "-m", "oddins_pipeline", "sync", "leagues", "--json"]
        log = self.directory / "log"
        started = time.perf_counter()
        with (
            log.open("w") as errors,
            subprocess.Popen(  # noqa: S603 - our own modules
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self.directory,
                env=self.environment(url, provider),
            ) as process,
        ):
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{implementation.name} failed:\n{output}{log.read_text()[-4_000:]}")
        return wall, usage.ru_maxrss, json.loads(output.splitlines()[-1])

    def environment(self, url: str, provider: Provider) -> dict[str, str]:
        """Of a measured process."""
        home = self.directory / "dagster"
        home.mkdir(exist_ok=True)
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "PYTHONPATH": str(PROJECT),
            "DATABASE_URL": url,
            "SPORTS_PROVIDER_API_KEY": "bench-key",
            "API_FOOTBALL_BASE_URL": provider.url,
            "ODDINS_HTTP_MAX_BODY_MB": "2048",
            "ODDINS_HTTP_READ_TIMEOUT": "120",
            "ODDINS_HOME": str(self.directory),
            "DAGSTER_HOME": str(home),
            "DLT_PIPELINES": str(self.directory / "dlt"),
        }

    def _check(self, implementation: Implementation, url: str, expected: Content) -> None:
        with psycopg.connect(url) as connection:
            natural = implementation.schema != "public"
            found = (
                natural_content(connection, implementation.schema)
                if natural
                else catalog_content(connection)
            )
        if found != expected:
            raise WrongTablesError(f"{implementation.name} left {found}, expected {expected}")

    def admin(self, statement: str) -> None:
        """Executes a statement outside the measured databases."""
        with psycopg.connect(at_database(self.template, "postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


def _identified(inserted: int, provider: Provider, state: str) -> int:
    """How many inserted rows need an identity value: coverage uses its season's."""
    if not inserted:
        return 0
    return inserted - int(provider.expected[state]["season_coverage"][0])
