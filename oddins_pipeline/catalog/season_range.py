"""Which seasons there are to ask for."""

from __future__ import annotations

from datetime import datetime, timezone

FIRST_STORED, LAST_STORED = 1900, 2100
"""The years that are stored; others are quarantined."""

FIRST_SEASON = 2008
YEARS_AHEAD = 2


def last_season(now: datetime | None = None) -> int:
    """The latest season that can be asked for: two years ahead of this year (UTC)."""
    return (now or datetime.now(timezone.utc)).year + YEARS_AHEAD


def is_season(year: int) -> bool:
    """Whether the provider may know this season."""
    return FIRST_SEASON <= year <= last_season()
