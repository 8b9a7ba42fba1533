"""Which seasons a full response renumbers in place: see docs/provider.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from oddins_pipeline.catalog.rows import Batch

StoredYears = dict[int, list[int]]
"""Provider league id → years of its listed seasons, for the listed leagues."""

Dates = tuple[str, str]
Renumberings = Mapping[tuple[int, int], int]
"""(provider league id, new year) → stored year."""


class StoredSeason(NamedTuple):
    """A season of the tables, delisted ones included; dates as ISO text."""

    league: int
    year: int
    start_date: str | None
    end_date: str | None


def missing_years(listed: StoredYears, batch: Batch) -> dict[int, int]:
    """League → year, of the leagues in the response that lack exactly one listed year.

    A quarantined season is not missing.
    """
    present = batch.years()
    found: dict[int, int] = {}
    for league in present.keys() & listed.keys() - batch.quarantined_leagues:
        missing = [year for year in listed[league] if year not in present[league]]
        if len(missing) == 1:
            found[league] = missing[0]
    return found


def renumberings(
    missing: Mapping[int, int], stored: Iterable[StoredSeason], batch: Batch
) -> Renumberings:
    """The new year of each missing one: the only one of its league that is stored nowhere and has
    the same two dates. `stored` holds every season of the `missing` leagues.
    """
    years: dict[int, dict[int, Dates | None]] = defaultdict(dict)
    for league, year, start, end in stored:
        years[league][year] = (start, end) if start and end else None
    same: dict[int, list[int]] = defaultdict(list)
    for row in batch.seasons:
        league = row.provider_league_id
        if league in missing and row.year not in years[league]:
            dates = years[league].get(missing[league])
            if dates is not None and dates == (row.start_date, row.end_date):
                same[league].append(row.year)
    return {(league, new[0]): missing[league] for league, new in same.items() if len(new) == 1}


def renumbered(listed: StoredYears, found: Renumberings) -> StoredYears:
    """`listed` with the new years in place of the stored ones."""
    new = {(league, stored): year for (league, year), stored in found.items()}
    leagues = {league for league, _ in found}
    return listed | {
        league: [new.get((league, year), year) for year in listed[league]] for league in leagues
    }
