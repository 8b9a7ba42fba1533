"""The summary as Markdown, and its place in the documentation."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

from benchmarks.daemon import Daemon
from benchmarks.far import COMMANDS, FARTHEST, NEAR, SYNCS, Case
from benchmarks.responses import STATES
from benchmarks.rounds import CLI, EMPTY
from benchmarks.server import OPTIONS
from benchmarks.summary import UNCHANGED, Summary

UNSAID = {"listen_addresses", "log_line_prefix"}
BEGIN, END = "<!-- bench: made by `make bench` -->", "<!-- bench: end -->"


def machine(server: str) -> str:
    """One sentence: processor, memory, versions."""
    model = re.search(r"model name\s*: (.*)", _text("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+) kB", _text("/proc/meminfo"))
    parts = [
        f"{os.cpu_count()} × {model[1] if model else platform.processor() or platform.machine()}",
        f"{int(memory[1]) / 2**20:.0f} GB" if memory else "",
        f"{platform.system()}, Python {sys.version.split()[0]}, PostgreSQL {server}",
        ", ".join(f"{name}={value}" for name, value in OPTIONS.items() if name not in UNSAID),
    ]
    return "; ".join(part for part in parts if part)


def _text(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def markdown(summary: Summary, server: str, quick: bool) -> str:  # noqa: FBT001
    """Times, effects on the database, and the targets."""
    parts = [f"Measured on {machine(server)}{' (quick run)' if quick else ''}. Medians."]
    parts += [_times(summary, scale) for scale in sorted(summary.sizes)]
    if summary.sizes:
        parts.append(_effects(summary))
    if summary.far.walls:
        parts += [_far(summary, FAR_TITLE, SYNCS), _far(summary, COMMANDS_TITLE, COMMANDS)]
    if summary.daemon.idle:
        parts.append(_daemon(summary.daemon))
    return "\n\n".join([*parts, _targets(summary)])


def _times(summary: Summary, scale: float) -> str:
    size = summary.sizes[scale] / 1e6
    title = (
        f"A response of {size:.1f} MB ({scale:g} × today's size): seconds from the request to the"
        " commit (÷ floor); the whole process; memory beyond the interpreter ÷ the response's"
        " bytes."
    )
    lines = [
        title,
        "",
        f"| implementation | {' | '.join(STATES)} | process, unchanged | memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in summary.implementations():
        times = [_time(summary, scale, state, name) for state in STATES]
        whole = summary.wall(scale, UNCHANGED, name)
        if whole is None:
            if name not in {CLI, EMPTY}:
                lines.append(f"| {name} | left out: too slow | | | | |")
            continue
        peak = summary.median_of(
            scale, STATES[0], name, lambda one: one.memory_kb if one.seconds is not None else None
        )
        memory = f"{peak * 1024 / summary.sizes[scale]:.1f} ×" if peak is not None else "–"
        lines.append(f"| {name} | {' | '.join(times)} | {_short(whole)} | {memory} |")
    return "\n".join(lines)


def _time(summary: Summary, scale: float, state: str, name: str) -> str:
    seconds = summary.seconds(scale, state, name)
    if seconds is None:
        return "–"
    ratio = summary.ratio(seconds, summary.seconds(scale, state, "floor"))
    return f"{_short(seconds)} ({ratio:.2f})" if ratio else _short(seconds)


def _short(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}"


def _effects(summary: Summary) -> str:
    title = (
        "What an unchanged response of today's size does to the database (the four tables' rows;"
        " WAL of the whole server):"
    )
    lines = [
        title,
        "",
        "| implementation | rows rewritten | dead rows | identity values | WAL, KB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    scale = min(summary.sizes)
    for name in summary.implementations():
        values = [
            summary.median_of(scale, UNCHANGED, name, value)
            for value in (
                lambda one: one.rewritten,
                lambda one: one.dead,
                lambda one: one.identities_used,
                lambda one: one.wal / 1024,
            )
        ]
        if values[0] is not None:
            cells = " | ".join(f"{number or 0:,.0f}" for number in values)
            lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


FAR_TITLE = (
    "A database that is far away: whole processes on an unchanged response of today's size, by"
    " round-trip time (÷ dlt, the median of pairs). Flights are how often the process waits for an"
    " answer of the server; statements are counted on the server."
)
COMMANDS_TITLE = "Other commands, with the same database:"


def _far(summary: Summary, title: str, cases: tuple[Case, ...]) -> str:
    far, names = summary.far, [one.name for one in cases]
    delays = far.delays(names)
    head = [
        "",
        *(f"{one:g} ms" for one in delays),
        "flights",
        "own statements",
        "Dagster's storage",
    ]
    lines = [title, "", f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(delays) + 3)}"]
    for name in names:
        traffic = far.traffic_of(name)
        assert traffic is not None
        times = [_far_time(summary, name, delay) for delay in delays]
        counts = [str(count) for count in (traffic.flights, traffic.own, traffic.storage)]
        lines.append(f"| {' | '.join((name, *times, *counts))} |")
    return "\n".join(lines)


def _far_time(summary: Summary, name: str, delay: float) -> str:
    ratio = summary.far.ratio(name, "dlt", delay)
    seconds = f"{summary.far.seconds(name, delay):.2f}"
    return f"{seconds} ({ratio:.2f})" if ratio and name in SYNCED else seconds


def _daemon(daemon: Daemon) -> str:
    head = ["The daemon, idle", "statements a minute"]
    lines = [f"| {' | '.join(head)} |", "| --- | ---: |"]
    lines += [f"| {name} | {count:.0f} |" for name, count in daemon.idle.items()]
    lines += ["", f"| The daemon, busy | {NEAR:g} ms | {FARTHEST:g} ms |", "| --- | ---: | ---: |"]
    for kind, seconds in daemon.seconds.items():
        cells = (f"{seconds[at]:.2f} s" if at in seconds else "–" for at in (NEAR, FARTHEST))
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


SYNCED = {one.name for one in SYNCS}


def _targets(summary: Summary) -> str:
    lines = ["| target | measured | max | |", "| --- | ---: | ---: | --- |"]
    for target in summary.targets():
        measured = "–" if target.measured is None else f"{target.measured:.2f}{target.unit}"
        lines.append(
            f"| {target.what} | {measured} | {target.max:g}{target.unit} | {target.result} |"
        )
    return "\n".join(lines)


def write_into(readme: Path, text: str) -> None:
    """Puts `text` between the markers of docs/benchmarks.md."""
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    plot = "![time and memory against size](images/benchmark.svg)"
    readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{plot}\n\n{END}{after}", encoding="utf-8")
