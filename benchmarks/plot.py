"""Time and memory against size."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.responses import STATES
from benchmarks.summary import Summary

SHOWN = ("floor", "oddins", "executemany", "dlt")


def draw(summary: Summary, path: Path) -> None:
    """Writes an SVG that is identical for identical measurements."""
    mpl.rcParams["svg.hashsalt"] = "oddins"
    figure = Figure(figsize=(14, 3.6), layout="constrained")
    axes = figure.subplots(1, len(STATES) + 1)
    scales = sorted(summary.sizes)
    megabytes = {scale: summary.sizes[scale] / 1e6 for scale in scales}
    for axis, state in zip(axes, STATES, strict=False):
        for name in SHOWN:
            points = [(megabytes[s], summary.seconds(s, state, name)) for s in scales]
            _line(axis, name, points)
        axis.set(title=state, xlabel="response, MB", ylabel="seconds, request to commit")
    for name in SHOWN:
        peaks = [
            summary.median_of(s, STATES[0], name, lambda one: one.memory_kb / 1024) for s in scales
        ]
        _line(axes[-1], name, list(zip(megabytes.values(), peaks, strict=True)))
    axes[-1].set(
        title="memory, first load", xlabel="response, MB", ylabel="MB beyond the interpreter"
    )
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _line(axis: object, name: str, points: list[tuple[float, float | None]]) -> None:
    known = [(x, y) for x, y in points if y is not None]
    if known:
        axis.loglog(*zip(*known, strict=True), marker="o", label=name)  # type: ignore[attr-defined]
