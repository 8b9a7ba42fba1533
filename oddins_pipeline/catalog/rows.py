"""What an answer says, as rows: frozen, ordered, ready for COPY.

The order of a row's fields is the order of the staging table's columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class CountryRow(NamedTuple):
    """`code` of at most 6 characters; `flag_url` canonical."""

    name: str
    code: str | None
    flag_url: str | None


class LeagueRow(NamedTuple):
    """One league; `country_name` refers to a CountryRow of the same batch."""

    provider_league_id: int
    country_name: str
    name: str
    type: str | None
    logo_url: str | None


class SeasonRow(NamedTuple):
    """One season with its coverage; dates as ISO text, flags None when unknown."""

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
    """Something odd in an answer that was dealt with: kept in `payload_anomalies`."""

    kind: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """One answer as rows, each set sorted by its key and free of duplicates.

    `quarantined_leagues` (provider ids) and `quarantined_seasons` (provider id, year) keep
    their stored rows; `delists` is False when an entry's id could not be read.
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
