"""Runs every way through the three states of one size, in turn, and checks what each left."""

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
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks.content import Content, catalog_content, natural_content
from benchmarks.meter import snapshot
from benchmarks.responses import STATES

PROJECT = Path(__file__).resolve().parent.parent
CLI = "oddins sync leagues"
EMPTY = "empty Dagster run"


@dataclass(frozen=True)
class Way:
    """A way to load an answer: in a database of its own, up to a size, at most so many rounds."""

    name: str
    database: str
    largest: float = 1_000
    rounds: int = 100
    schema: str = "public"

    def takes_part(self, scale: float, repeat: int) -> bool:
        """Ways that are limited at all take minutes beyond ten times the size: once there."""
        most = min(self.rounds, 1) if scale > 10 and self.rounds < 100 else self.rounds
        return scale <= self.largest and repeat < most


WAYS = (
    Way("floor", "floor"),
    Way("oddins", "oddins"),
    Way("executemany", "many", largest=10),
    Way("row by row", "single", largest=1, rounds=2),
    Way("dlt", "dlt", largest=100, rounds=5, schema="dlt_catalog"),
    Way(CLI, "command", largest=1),
    Way(EMPTY, "command", largest=1),
)


@dataclass(frozen=True)
class Measurement:
    """One load. `seconds` from the request to the commit (None: only the whole was timed),
    `wall` from the process's start to its exit, memory in KB (`peak_kb` less what the interpreter
    and its modules held), WAL in bytes; the other counts are rows of the four tables.
    """

    scale: float
    repeat: int
    state: str
    way: str
    seconds: float | None
    wall: float
    peak_kb: int
    memory_kb: int
    inserted: int
    rewritten: int
    dead: int
    wal: int
    burnt: int


class WrongTablesError(Exception):
    """A way left tables that do not say what the answer said."""


@dataclass(frozen=True)
class Provider:
    """The provider's process; `answer` is the size in bytes."""

    url: str
    answer: int
    expected: dict[str, Content]
    process: subprocess.Popen[str]

    def serve(self, state: str) -> None:
        """Makes it answer with the answer of `state`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(state + "\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == {"serving": state}


@contextmanager
def providing(scale: float, template: str) -> Iterator[Provider]:
    """A provider of answers of this size, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.provider", str(scale), template]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the provider's process ended; its error is above")
        told = json.loads(line)
        yield Provider(told["url"], told["bytes"], told["expected"], process)
        process.stdin.close()


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark: where its server and its scratch directory are."""

    template: str
    directory: Path
    say: Callable[[str], None]

    def size(self, scale: float, repeats: int, names: set[str]) -> tuple[list[Measurement], int]:
        """Every measurement of one size, and the answer's bytes."""
        found: list[Measurement] = []
        with providing(scale, self.template) as provider:
            self.say(f"scale {scale:g}: an answer of {provider.answer / 1e6:.1f} MB")
            for repeat in range(repeats):
                ways = [w for w in WAYS if w.name in names and w.takes_part(scale, repeat)]
                if not ways:
                    break
                shift = repeat % len(ways)
                # Nobody is always first; the empty run needs what the command before it has made.
                ways = sorted(ways[shift:] + ways[:shift], key=lambda way: way.name == EMPTY)
                found += self._round(provider, scale, repeat, ways)
        return found, provider.answer

    def _round(
        self, provider: Provider, scale: float, repeat: int, ways: list[Way]
    ) -> list[Measurement]:
        shutil.rmtree(self.directory / "dlt", ignore_errors=True)
        databases = sorted({way.database for way in ways})
        for name in databases:
            self._admin(f"CREATE DATABASE {name} TEMPLATE template")
        found = []
        for state in STATES:
            provider.serve(state)
            for way in ways:
                found.append(self._measure(way, provider, scale, repeat, state))
                one = found[-1]
                self.say(
                    f"scale {scale:g}, round {repeat + 1}, {state}: {way.name}"
                    f" {one.wall if one.seconds is None else one.seconds:.2f} s"
                )
        for name in databases:
            self._admin(f"DROP DATABASE {name}")
        return found

    def _measure(
        self, way: Way, provider: Provider, scale: float, repeat: int, state: str
    ) -> Measurement:
        url = at_database(self.template, way.database)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
        before = snapshot(url, way.schema)
        wall, peak_kb, told = self._run(way, url, provider)
        did = snapshot(url, way.schema) - before
        if way.name != EMPTY:
            self._check(way, url, provider.expected[state])
        return Measurement(
            scale=scale,
            repeat=repeat,
            state=state,
            way=way.name,
            seconds=None if way.name in {CLI, EMPTY} else told["seconds"],
            wall=wall,
            peak_kb=told.get("peak_kb", peak_kb),
            memory_kb=told.get("peak_kb", peak_kb) - told.get("interpreter_kb", 0),
            inserted=did.inserted,
            rewritten=did.rewritten,
            dead=did.dead,
            wal=did.wal,
            burnt=max(0, did.identities - _identified(did.inserted, provider, state)),
        )

    def _run(self, way: Way, url: str, provider: Provider) -> tuple[float, int, dict[str, Any]]:
        """Wall seconds, peak KB and what the process said. Raises RuntimeError when it fails."""
        command = [sys.executable, "-m", "benchmarks.child", way.name, url, provider.url]
        if way.name == CLI:
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
                env=self._environment(url, provider),
            ) as process,
        ):
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{way.name} failed:\n{said}{log.read_text()[-4_000:]}")
        return wall, usage.ru_maxrss, json.loads(said.splitlines()[-1])

    def _environment(self, url: str, provider: Provider) -> dict[str, str]:
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
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }

    def _check(self, way: Way, url: str, expected: Content) -> None:
        with psycopg.connect(url) as connection:
            natural = way.schema != "public"
            found = (
                natural_content(connection, way.schema) if natural else catalog_content(connection)
            )
        if found != expected:
            raise WrongTablesError(f"{way.name} left {found}, the answer says {expected}")

    def _admin(self, statement: str) -> None:
        with psycopg.connect(at_database(self.template, "postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


def _identified(inserted: int, provider: Provider, state: str) -> int:
    """Of the inserted rows those that need an identity value: coverage has its season's."""
    if not inserted:
        return 0
    return inserted - int(provider.expected[state]["season_coverage"][0])


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))
