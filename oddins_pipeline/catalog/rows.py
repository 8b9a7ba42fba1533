"""A response's content as rows: frozen, ordered, ready for COPY.

A row's fields, in order, are the columns of its staging table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oddins_pipeline.catalog.models import Country, League
from oddins_pipeline.catalog.text import canonical_media_url, clean_name, clean_optional

RULES_VERSION = 2
"""Of the rules that turn entries of `/leagues` into rows: with another one, an unchanged response
is published again.
"""


class CountryRow(NamedTuple):
    """`code` of at most 6 characters; `flag_url` canonical."""

    name: str
    code: str | None
    flag_url: str | None

    @classmethod
    def of(cls, country: Country) -> CountryRow:
        """The row of a validated country. Raises ValueError."""
        return cls(
            name=clean_name(country.name),
            code=clean_optional(country.code),
            flag_url=canonical_media_url(country.flag),
        )


class LeagueRow(NamedTuple):
    """One league; `country_name` refers to a CountryRow of the same batch."""

    provider_league_id: int
    country_name: str
    name: str
    type: str | None
    logo_url: str | None

    @classmethod
    def of(cls, league: League, country_name: str) -> LeagueRow:
        """The row of a validated league. Raises ValueError."""
        return cls(
            provider_league_id=league.id,
            country_name=country_name,
            name=clean_name(league.name),
            type=clean_optional(league.type),
            logo_url=canonical_media_url(league.logo),
        )


class SeasonRow(NamedTuple):
    """One season with its coverage; dates as ISO text, flags None when unknown.

    The flags after the four of `fixtures` are those of the model `Coverage`, in its order.
    """

    provider_league_id: int
    year: int
    start_date: str | None
    end_date: str | None
    is_current: bool
    fixtures: bool | None
    fixtures_events: bool | None
    fixtures_lineups: bool | None
    fixtures_statistics: bool | None
    fixtures_player_statistics: bool | None
    standings: bool | None
    players: bool | None
    top_scorers: bool | None
    top_assists: bool | None
    top_cards: bool | None
    injuries: bool | None
    predictions: bool | None
    odds: bool | None


class Anomaly(NamedTuple):
    """Something unusual in a response that was resolved: stored in `payload_anomalies`."""

    kind: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """One response as rows, each set sorted by its key and free of duplicates.

    `quarantined_leagues` (provider ids) and `quarantined_seasons` (provider id, year) keep
    their stored rows; `delists` is False when an entry's id could not be read. `renumbered` is
    (provider id, year) → the year under which that season is stored.
    """

    countries: list[CountryRow]
    leagues: list[LeagueRow]
    seasons: list[SeasonRow]
    anomalies: list[Anomaly] = field(default_factory=list)
    quarantined_leagues: frozenset[int] = frozenset()
    quarantined_seasons: frozenset[tuple[int, int]] = frozenset()
    quarantined_items: int = 0
    received_items: int = 0
    delists: bool = True
    renumbered: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def years(self) -> dict[int, set[int]]:
        """League → the years of its seasons; a quarantined season is there, too."""
        found: dict[int, set[int]] = defaultdict(set)
        for row in self.seasons:
            found[row.provider_league_id].add(row.year)
        for league, year in self.quarantined_seasons:
            found[league].add(year)
        return found
