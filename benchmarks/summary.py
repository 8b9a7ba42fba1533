"""Medians, ratios and the bars, from measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.responses import STATES
from benchmarks.rounds import CLI, EMPTY, Measurement

FIRST, UNCHANGED, CHANGED = STATES
Value = Callable[[Measurement], float | None]


@dataclass(frozen=True)
class Bar:
    """One promise: what was measured, and what it may be at most."""

    what: str
    measured: float | None
    most: float
    unit: str = "×"

    @property
    def verdict(self) -> str:
        """Met, missed, or not measured in this run."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured <= self.most else "missed"


class Summary:
    """Questions to the measurements of one run; `sizes` are the answers' bytes by scale."""

    def __init__(self, measurements: Iterable[Measurement], sizes: dict[float, int]) -> None:
        self.measurements = list(measurements)
        self.sizes = sizes

    def ways(self) -> list[str]:
        """Names of the ways that were measured, in the order of the first round."""
        return list(dict.fromkeys(one.way for one in self.measurements))

    def middle(self, scale: float, state: str, way: str, value: Value) -> float | None:
        """The median of `value`; None when it was not measured."""
        found = [
            value(one)
            for one in self.measurements
            if (one.scale, one.state, one.way) == (scale, state, way)
        ]
        known = [number for number in found if number is not None]
        return median(known) if known else None

    def ratio(self, over: float | None, under: float | None) -> float | None:
        """Over ÷ under, when both are known."""
        return over / under if over is not None and under else None

    def seconds(self, scale: float, state: str, way: str) -> float | None:
        """Median seconds from the request to the commit."""
        return self.middle(scale, state, way, lambda one: one.seconds)

    def wall(self, scale: float, state: str, way: str) -> float | None:
        """Median seconds from a process's start to its exit."""
        return self.middle(scale, state, way, lambda one: one.wall)

    def to_floor(self, scale: float, state: str) -> float | None:
        """The sync's seconds over the floor's."""
        return self.ratio(self.seconds(scale, state, "oddins"), self.seconds(scale, state, "floor"))

    def bars(self) -> list[Bar]:
        """Every promise, with what this run says about it."""
        scales = sorted(self.sizes)
        found = [
            Bar(
                f"fetch to commit ÷ floor, {state}, size {scale:g}",
                self.to_floor(scale, state),
                1.5,
            )
            for scale in scales
            for state in (FIRST, CHANGED)
        ]
        found += [
            Bar(
                f"fetch to done ÷ joining floor, unchanged, size {scale:g}",
                self.to_floor(scale, UNCHANGED),
                1.0,
            )
            for scale in scales
        ]
        command = self.wall(1, UNCHANGED, CLI)
        dlt, empty = self.wall(1, UNCHANGED, "dlt"), self.wall(1, UNCHANGED, EMPTY)
        found += [
            Bar(f"`{CLI}` ÷ dlt, whole process, unchanged", self.ratio(command, dlt), 0.9),
            Bar(f"`{CLI}` ÷ empty Dagster run", self.ratio(command, empty), 1.3),
        ]
        if scales[0] == 1 and scales[-1] == 100:
            found += [self._growth(state) for state in STATES]
            found.append(Bar("memory, growth from size 1 to 100", self._memory_growth(), 100))
        found += [
            Bar(f"memory ÷ bytes of the answer, size {scale:g}", self._memory(scale), 8)
            for scale in scales
        ]
        return found + self._quiet()

    def _growth(self, state: str) -> Bar:
        grown = self.ratio(self.seconds(100, state, "oddins"), self.seconds(1, state, "oddins"))
        return Bar(f"fetch to commit, growth from size 1 to 100, {state}", grown, 110)

    def _memory(self, scale: float) -> float | None:
        peaks = [
            self.middle(scale, state, "oddins", lambda one: one.memory_kb * 1024)
            for state in STATES
        ]
        return self.ratio(max((peak for peak in peaks if peak), default=None), self.sizes[scale])

    def _memory_growth(self) -> float | None:
        large, small = self._memory(100), self._memory(1)
        if large is None or small is None:
            return None
        return self.ratio(large * self.sizes[100], small * self.sizes[1])

    def _quiet(self) -> list[Bar]:
        """What an unchanged answer does to the database, at most over every size and round."""
        quiet = [one for one in self.measurements if one.state == UNCHANGED and one.way == "oddins"]

        def most(value: Callable[[Measurement], float]) -> float | None:
            return max(map(value, quiet), default=None)

        return [
            Bar("rows written, unchanged", most(lambda one: one.rewritten + one.inserted), 0, ""),
            Bar("dead rows, unchanged", most(lambda one: one.dead), 0, ""),
            Bar("identity values, unchanged", most(lambda one: one.burnt), 0, ""),
            Bar("WAL, unchanged", most(lambda one: one.wal / 1024), 64, " KB"),
        ]
