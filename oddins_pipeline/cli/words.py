"""Numbers as people read them, and color where the terminal has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import click

KILO = 1_000


def colored(text: str, **style: Any) -> str:
    """`text` in a style, unless NO_COLOR is set; without a terminal `click.echo` drops it."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


UNUSUAL = {
    "quarantined_league": "league left out as malformed",
    "quarantined_season": "season left out as malformed",
    "quarantined_entry": "entry left out as malformed",
    "unknown_field": "unknown field",
    "country_conflict": "country with contradicting entries",
}
"""Kinds of anomalies that an operator should look at; the others are resolved every day."""


def shown_anomalies(counts: Mapping[str, int]) -> str | None:
    """`1 league left out as malformed, unknown fields: 2`, or None."""
    found = [f"{UNUSUAL[kind]}: {n:,}" for kind, n in sorted(counts.items()) if kind in UNUSUAL]
    return f"unusual in the response: {', '.join(found)}; see payload_anomalies" if found else None


def shown_bytes(count: int) -> str:
    """`2.3 MB`."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if size < KILO:
            break
        size, unit = size / KILO, larger
    return f"{size:.0f} {unit}" if unit in {"B", "kB"} else f"{size:.1f} {unit}"


def shown_seconds(seconds: float) -> str:
    """`0.84 s`, `12 s`, `2 min 9 s`, `3 h 5 min`, `4 d 2 h`: two units at most."""
    if seconds < 10 and seconds != int(seconds):  # noqa: PLR2004 - decimals help below it only
        return f"{seconds:.2f} s"
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:2])


def shown_time(when: datetime | None) -> str:
    """`2026-04-02 05:17:09 UTC (3 h 5 min ago)`."""
    if when is None:
        return "never"
    age = (datetime.now(timezone.utc) - when).total_seconds()
    relative = (
        f"{shown_seconds(round(age))} ago" if age >= 0 else f"in {shown_seconds(round(-age))}"
    )
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC ({relative})"
