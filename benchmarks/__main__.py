"""`python -m benchmarks`: measures, prints tables, writes JSON, a plot and a page's section."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import click
import psycopg

from benchmarks.daemon import Daemon, measure_daemon
from benchmarks.far import DELAYS, FARTHEST, NEAR, Far, measure
from benchmarks.plot import draw
from benchmarks.report import machine, markdown, write_into
from benchmarks.rounds import IMPLEMENTATIONS, PROJECT, Bench, Measurement
from benchmarks.server import default_major, running
from benchmarks.summary import Summary

REPEATS = {1.0: 7, 10.0: 3, 100.0: 2}
"""Rounds by scale; other scales get three."""
SIZES, FAR, DAEMON = PARTS = ("sizes", "far", "daemon")
"""What is measured: sizes of the response, distances to the database, the daemon."""


@click.command()
@click.option(
    "--quick",
    is_flag=True,
    help="Today's size, two rounds, a near and a far database only; no page is written.",
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="All by default; not the daemon with --quick.",
)
@click.option("--scale", "scales", type=float, multiple=True, help="1, 10 and 100 by default.")
@click.option("--repeats", type=click.IntRange(1), help="Rounds of every size.")
@click.option(
    "--implementation",
    "chosen",
    type=click.Choice([one.name for one in IMPLEMENTATIONS]),
    multiple=True,
    help="All by default.",
)
@click.option("--postgres", type=click.Choice(["15", "18"]), help="15 is Debian's, 18 the wheel's.")
@click.option(
    "--json",
    "results",
    type=click.Path(path_type=Path, dir_okay=False),
    default=PROJECT / "benchmarks" / "results" / "latest.json",
    help="Where the measurements go.",
)
@click.option("--readme/--no-readme", default=None, help="Write docs/benchmarks.md and the plot.")
def main(
    *,
    quick: bool,
    parts: tuple[str, ...],
    scales: tuple[float, ...],
    repeats: int | None,
    chosen: tuple[str, ...],
    postgres: str | None,
    results: Path,
    readme: bool | None,
) -> None:
    """Compares the sync with its peers on a server of its own."""
    # A terminated benchmark stops its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    sizes: dict[float, int] = {}
    found: list[Measurement] = []
    far, daemon = Far(), Daemon()
    wanted = parts or ((SIZES,) if chosen or scales else (SIZES, FAR) if quick else PARTS)
    names = set(chosen) or {one.name for one in IMPLEMENTATIONS}
    directory = Path(tempfile.mkdtemp(prefix="oddins-bench-"))

    def log(message: str) -> None:
        click.echo(f"[{time.monotonic() - started:6.1f} s] {message}", err=True)

    try:
        with running(int(postgres or default_major())) as template:
            server = _version(template)
            bench = Bench(template, directory, log)
            if FAR in wanted:
                far = measure(
                    bench, (NEAR, FARTHEST) if quick else DELAYS, repeats or (2 if quick else 5)
                )
            if DAEMON in wanted:
                daemon = measure_daemon(bench)
            every = scales or ((1.0,) if quick else tuple(REPEATS))
            for scale in every if SIZES in wanted else ():
                rounds = repeats or (2 if quick else REPEATS.get(scale, 3))
                measured, sizes[scale] = bench.size(scale, rounds, names)
                found += measured
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    summary = Summary(found, sizes, far, daemon)
    text = markdown(summary, server, quick)
    click.echo(text)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(
        json.dumps(
            {
                "machine": machine(server),
                "bytes": {f"{scale:g}": size for scale, size in sizes.items()},
                "targets": [{**asdict(one), "result": one.result} for one in summary.targets()],
                "measurements": [asdict(one) for one in found],
                "far": asdict(far),
                "daemon": asdict(daemon),
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    complete = not (quick or scales or chosen or parts)
    if complete if readme is None else readme:
        write_into(PROJECT / "docs" / "benchmarks.md", text)
        draw(summary, PROJECT / "docs" / "images" / "benchmark.svg")
    log(f"done; {results.name} written")


def _version(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return str(row[0]).split()[0]


main()
