"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

KILO = 1_000


UNUSUAL = {
    "quarantined_league": "leagues left out as malformed",
    "quarantined_season": "seasons left out as malformed",
    "quarantined_entry": "entries left out as malformed",
    "unknown_field": "unknown fields",
    "country_conflict": "countries with contradicting entries",
}
"""Kinds of anomalies that an operator should look at; the others are resolved every day."""


def shown_anomalies(counts: Mapping[str, int]) -> str | None:
    """`unusual in the response: unknown fields (2); see …`, or None."""
    found = [f"{UNUSUAL[kind]} ({n:,})" for kind, n in sorted(counts.items()) if kind in UNUSUAL]
    listed = f"unusual in the response: {', '.join(found)}; see the table payload_anomalies"
    return listed if found else None


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
