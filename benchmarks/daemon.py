"""The daemon with every schedule and sensor on: its statements while idle, its ticks and runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psycopg

from benchmarks.far import FARTHEST, NEAR
from benchmarks.proxy import Proxy
from benchmarks.responses import STATES
from benchmarks.rounds import Bench, Provider, providing
from benchmarks.server import at_database
from benchmarks.statements import counting

START_S, IDLE_S, BUSY_S = 75, 180, 150
"""Until the daemon has ticked each sensor once, then idle, and with a sync every minute."""
DATABASE = "daemon"
_DURATIONS = """
SELECT type, tick_body FROM dagster.job_ticks WHERE status <> 'STARTED'
"""
_RUNS = """
SELECT extract(epoch FROM create_timestamp), start_time, end_time FROM dagster.runs
WHERE status = 'SUCCESS'
"""


@dataclass(frozen=True)
class Daemon:
    """Statements a minute by application, and median seconds by kind and round-trip time."""

    idle: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, dict[float, float]] = field(default_factory=dict)


def measure_daemon(bench: Bench) -> Daemon:
    """Takes nine minutes: a daemon that idles, and one near and one far that sync every minute."""
    seconds: dict[str, dict[float, float]] = {}
    with providing(1.0, bench.template) as provider:
        provider.serve(STATES[1])
        proxy = Proxy(at_database(bench.template, "postgres"))
        with _running(bench, provider, proxy, {}) as url, counting(url) as statements:
            bench.log(f"the daemon idles for {IDLE_S} s")
            time.sleep(IDLE_S)
        idle = Counter[str]()
        for application, count in statements.items():
            idle[re.sub(r" \S+:\d+$", "", application)] += count
        for delay in (NEAR, FARTHEST):
            proxy.delay = delay / 1000
            with _running(bench, provider, proxy, {"ODDINS_SYNC_CRON": "* * * * *"}) as url:
                bench.log(f"the daemon syncs every minute, {delay:g} ms to the database")
                time.sleep(BUSY_S)
                for kind, found in _durations(url).items():
                    seconds.setdefault(kind, {})[delay] = median(found)
    return Daemon({name: count * 60 / IDLE_S for name, count in idle.most_common()}, seconds)


@contextmanager
def _running(
    bench: Bench, provider: Provider, proxy: Proxy, settings: dict[str, str]
) -> Iterator[str]:
    """A daemon on a database that has been synced; yields its address without the proxy."""
    bench.admin(f"CREATE DATABASE {DATABASE} TEMPLATE template")
    url = at_database(bench.template, DATABASE)
    environment = bench.environment(at_database(proxy.url, DATABASE), provider)
    environment |= {"ODDINS_AUTOMATION": "on", **settings}
    command = [sys.executable, "-m", "dagster._daemon", "run"]
    run: dict[str, Any] = {"env": environment, "cwd": bench.directory}
    sync = [sys.executable, "-m", "oddins_pipeline", "sync", "leagues"]
    subprocess.run(sync, check=True, capture_output=True, **run)  # noqa: S603 - our own module
    with (bench.directory / "daemon.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            [*command, "-m", "oddins_pipeline.definitions"],
            stdout=log,
            stderr=log,
            start_new_session=True,
            **run,
        )
        try:
            time.sleep(START_S)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
    bench.admin(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def _durations(url: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with psycopg.connect(url) as connection:
        for kind, body in connection.execute(_DURATIONS):
            tick = json.loads(body)
            if tick["end_timestamp"]:
                name = f"{kind.lower()} tick"
                found.setdefault(name, []).append(tick["end_timestamp"] - tick["timestamp"])
        for created, started, ended in connection.execute(_RUNS):
            found.setdefault("queued run, until it starts", []).append(started - float(created))
            found.setdefault("queued run, until it ends", []).append(ended - started)
    return found
