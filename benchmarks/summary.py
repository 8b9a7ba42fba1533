"""Medians, ratios and targets, from measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.daemon import Daemon
from benchmarks.far import COMMANDS, FARTHEST, MATERIALIZE, Far
from benchmarks.responses import STATES
from benchmarks.rounds import CLI, EMPTY, Measurement

FIRST, UNCHANGED, CHANGED = STATES
Value = Callable[[Measurement], float | None]
MAX_TO_DLT = {0.0: 0.85, 1.0: 0.9, 5.0: 1.0, 20.0: 1.4}
"""Of the sync's whole process over dlt's, by round-trip time in milliseconds."""


@dataclass(frozen=True)
class Target:
    """One performance target: the measured value and its maximum."""

    what: str
    measured: float | None
    max: float
    unit: str = "×"

    @property
    def result(self) -> str:
        """Met, missed, or not measured in this run."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured <= self.max else "missed"


class Summary:
    """Queries over the measurements of one run; `sizes` are the responses' bytes by scale."""

    def __init__(
        self,
        measurements: Iterable[Measurement],
        sizes: dict[float, int],
        far: Far,
        daemon: Daemon,
    ) -> None:
        self.measurements = list(measurements)
        self.sizes = sizes
        self.far = far
        self.daemon = daemon

    def implementations(self) -> list[str]:
        """Names of the measured implementations, in the order of the first round."""
        return list(dict.fromkeys(one.implementation for one in self.measurements))

    def median_of(self, scale: float, state: str, name: str, value: Value) -> float | None:
        """The median of `value`; None when it was not measured."""
        found = [
            value(one)
            for one in self.measurements
            if (one.scale, one.state, one.implementation) == (scale, state, name)
        ]
        known = [number for number in found if number is not None]
        return median(known) if known else None

    def ratio(self, over: float | None, under: float | None) -> float | None:
        """`over` ÷ `under`, when both are known."""
        return over / under if over is not None and under else None

    def seconds(self, scale: float, state: str, name: str) -> float | None:
        """Median seconds from the request to the commit."""
        return self.median_of(scale, state, name, lambda one: one.seconds)

    def wall(self, scale: float, state: str, name: str) -> float | None:
        """Median seconds from a process's start to its exit."""
        return self.median_of(scale, state, name, lambda one: one.wall)

    def to_floor(self, scale: float, state: str) -> float | None:
        """The sync's seconds over the floor's."""
        return self.ratio(self.seconds(scale, state, "oddins"), self.seconds(scale, state, "floor"))

    def targets(self) -> list[Target]:
        """Every target, with this run's measurement."""
        scales = sorted(self.sizes)
        found = [
            Target(
                f"fetch to commit ÷ floor, {state}, size {scale:g}",
                self.to_floor(scale, state),
                1.15,
            )
            for scale in scales
            for state in (FIRST, CHANGED)
        ]
        found += [
            Target(
                f"fetch to done ÷ joining floor, unchanged, size {scale:g}",
                self.to_floor(scale, UNCHANGED),
                1.0,
            )
            for scale in scales
        ]
        to_empty = self.ratio(self.wall(1, UNCHANGED, CLI), self.wall(1, UNCHANGED, EMPTY))
        found.append(Target(f"`{CLI}` ÷ empty Dagster run", to_empty, 1.3))
        if {1, 100} <= set(scales):
            found += [self._growth(state) for state in STATES]
            found.append(Target("memory, growth from size 1 to 100", self._memory_growth(), 100))
        found += [
            Target(f"memory ÷ bytes of the response, size {scale:g}", self._memory(scale), 4.5)
            for scale in scales
        ]
        return found + self._unchanged() + self._far()

    def _far(self) -> list[Target]:
        """With the database far away."""
        found = [
            Target(f"`{CLI}` ÷ dlt, at {delay:g} ms", self.far.ratio(CLI, "dlt", delay), limit)
            for delay, limit in MAX_TO_DLT.items()
        ]
        traffic = self.far.traffic_of(CLI)
        own, storage = (traffic.own, traffic.storage) if traffic else (None, None)
        seconds = self.far.seconds(MATERIALIZE, FARTHEST)
        found += [
            Target(f"`{CLI}`, its own statements", own, 45, ""),
            Target(f"`{CLI}`, statements of Dagster's storage", storage, 100, ""),
            Target(f"`{MATERIALIZE}` at {FARTHEST:g} ms", seconds, 8.4, " s"),
        ]
        idle = sum(self.daemon.idle.values()) or None
        found.append(Target("daemon and sensors, idle, statements a minute", idle, 236, ""))
        return found + [
            Target(f"`{one.name}`, {FARTHEST:g} ms beyond 0 ms", self.far.beyond(one.name), 1, " s")
            for one in COMMANDS
        ]

    def _growth(self, state: str) -> Target:
        grown = self.ratio(self.seconds(100, state, "oddins"), self.seconds(1, state, "oddins"))
        return Target(f"fetch to commit, growth from size 1 to 100, {state}", grown, 110)

    def _memory(self, scale: float) -> float | None:
        peaks = [
            self.median_of(scale, state, "oddins", lambda one: one.memory_kb * 1024)
            for state in STATES
        ]
        return self.ratio(max((peak for peak in peaks if peak), default=None), self.sizes[scale])

    def _memory_growth(self) -> float | None:
        large, small = self._memory(100), self._memory(1)
        if large is None or small is None:
            return None
        return self.ratio(large * self.sizes[100], small * self.sizes[1])

    def _unchanged(self) -> list[Target]:
        """The effects of an unchanged response: the maximum over all sizes and rounds."""
        found = [
            one
            for one in self.measurements
            if one.state == UNCHANGED and one.implementation == "oddins"
        ]

        def largest(value: Callable[[Measurement], float]) -> float | None:
            return max(map(value, found), default=None)

        return [
            Target(
                "rows written, unchanged", largest(lambda one: one.rewritten + one.inserted), 0, ""
            ),
            Target("dead rows, unchanged", largest(lambda one: one.dead), 0, ""),
            Target("identity values, unchanged", largest(lambda one: one.identities_used), 0, ""),
            Target("WAL, unchanged", largest(lambda one: one.wal / 1024), 64, " KB"),
        ]
