"""Entries to rows by the rules of docs/provider.md: pure, and independent of element order."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pydantic import ValidationError

from oddins_pipeline.catalog.models import (
    unknown_fields,
    unknown_season_fields,
    validate_header,
)
from oddins_pipeline.catalog.response import Entry, canonical_json
from oddins_pipeline.catalog.rows import Anomaly, Batch, CountryRow, LeagueRow, SeasonRow
from oddins_pipeline.catalog.season_range import FIRST_STORED, LAST_STORED
from oddins_pipeline.catalog.seasons import parse_fast, season_row


def normalise(entries: list[Entry]) -> Batch:
    """Turns the entries of one response into sorted, duplicate-free rows.

    What cannot be a row is quarantined, never raised: see `Batch`.
    """
    return _Normaliser().run(entries)


class _Normaliser:
    """Collects rows and findings while it walks over the entries of one response."""

    def __init__(self) -> None:
        self.leagues: dict[int, tuple[LeagueRow, CountryRow, Entry]] = {}
        self.countries: dict[str, set[CountryRow]] = defaultdict(set)
        self.seasons: dict[int, dict[int, tuple[SeasonRow, Entry]]] = defaultdict(dict)
        self.dropped: dict[tuple[int, int], list[SeasonRow]] = defaultdict(list)
        self.repeated: dict[int, int] = defaultdict(int)
        self.anomalies: list[Anomaly] = []
        self.unknown: set[str] = set()
        self.quarantined_leagues: set[int] = set()
        self.quarantined_seasons: set[tuple[int, int]] = set()
        self.quarantined = 0
        self.received = 0
        self.delists = True

    def run(self, entries: list[Entry]) -> Batch:
        for entry in entries:
            self._entry(entry)
        for (league, year), rows in sorted(self.dropped.items()):
            kept = self.seasons[league][year][0]
            detail = {
                "league": league,
                "year": year,
                "kept": _dates(kept),
                "dropped": sorted((_dates(row) for row in rows), key=canonical_json),
            }
            self.anomalies.append(Anomaly("duplicate_season", detail))
        for league, times in sorted(self.repeated.items()):
            self.anomalies.append(
                Anomaly("duplicate_league", {"league": league, "entries": times + 1})
            )
        for _, country, _ in self.leagues.values():
            self.countries[country.name].add(country)
        countries = [self._country(name) for name in sorted(self.countries)]
        self.anomalies += [Anomaly("unknown_field", {"path": p}) for p in sorted(self.unknown)]
        return Batch(
            countries=countries,
            leagues=[row for _, (row, *_) in sorted(self.leagues.items())],
            seasons=[
                years[year][0]
                for _, years in sorted(self.seasons.items())
                for year in sorted(years)
            ],
            anomalies=self.anomalies,
            quarantined_leagues=frozenset(self.quarantined_leagues),
            quarantined_seasons=frozenset(self.quarantined_seasons),
            quarantined_items=self.quarantined,
            received_items=self.received,
            delists=self.delists,
        )

    def _entry(self, entry: Entry) -> None:
        seasons = entry.get("seasons") if isinstance(entry, dict) else None
        self.received += 1 + (len(seasons) if isinstance(seasons, list) else 0)
        try:
            head = validate_header(entry)
            if not isinstance(seasons, list):
                raise ValueError("seasons is not a list")
            country = CountryRow.of(head.country)
            league = LeagueRow.of(head.league, country.name)
        except ValueError as error:
            self._quarantine_league(entry, seasons, error)
            return
        self.unknown |= {_plain(path) for path in unknown_fields(entry)}
        self._keep_league(league, country, entry)
        self._seasons(league.provider_league_id, seasons)

    def _keep_league(self, league: LeagueRow, country: CountryRow, entry: Entry) -> None:
        known = self.leagues.get(league.provider_league_id)
        if known is not None:
            self.repeated[league.provider_league_id] += 1
            if canonical_json(known[-1]) <= canonical_json(entry):
                return
        self.leagues[league.provider_league_id] = (league, country, entry)

    def _seasons(self, league_id: int, seasons: list[Entry]) -> None:
        known = self.seasons[league_id]
        for raw in seasons:
            row = parse_fast(league_id, raw) or self._other_season(league_id, raw)
            if row is None:
                continue
            if row.year in known:
                self._duplicate(known, row, raw)
            else:
                known[row.year] = (row, raw)

    def _other_season(self, league_id: int, raw: Entry) -> SeasonRow | None:
        """The row of a season with missing, unknown or wrong fields; None when quarantined."""
        try:
            row = season_row(league_id, raw)
        except ValueError as error:
            self._quarantine_season(league_id, raw, error)
            return None
        self.unknown |= {_plain(path) for path in unknown_season_fields(raw)}
        return row

    def _duplicate(
        self, known: dict[int, tuple[SeasonRow, Entry]], row: SeasonRow, raw: Entry
    ) -> None:
        winner, loser = (row, raw), known[row.year]
        if _rank(*loser) >= _rank(row, raw):
            winner, loser = loser, winner
        known[row.year] = winner
        self.dropped[row.provider_league_id, row.year].append(loser[0])

    def _quarantine_league(self, entry: Entry, seasons: Any, error: ValueError) -> None:
        league = entry.get("league") if isinstance(entry, dict) else None
        number = readable_id(league.get("id") if isinstance(league, dict) else None, 2**31 - 1)
        if number is None:
            self.delists = False
        else:
            self.quarantined_leagues.add(number)
        self.quarantined += 1 + (len(seasons) if isinstance(seasons, list) else 0)
        detail = {"league": number, "reason": reason_of(error)}
        self.anomalies.append(Anomaly("quarantined_league", detail))

    def _quarantine_season(self, league_id: int, raw: Entry, error: ValueError) -> None:
        year = readable_id(
            raw.get("year") if isinstance(raw, dict) else None, LAST_STORED, FIRST_STORED
        )
        if year is None:
            # Which stored season this was is unknown: none of its league is delisted.
            self.quarantined_leagues.add(league_id)
        else:
            self.quarantined_seasons.add((league_id, year))
        self.quarantined += 1
        detail = {"league": league_id, "year": year, "reason": reason_of(error)}
        self.anomalies.append(Anomaly("quarantined_season", detail))

    def _country(self, name: str) -> CountryRow:
        rows = self.countries[name]
        if len(rows) == 1:
            return next(iter(rows))
        codes = sorted({row.code for row in rows if row.code is not None})
        flags = sorted({row.flag_url for row in rows if row.flag_url is not None})
        detail = {"country": name, "codes": codes, "flags": flags}
        self.anomalies.append(Anomaly("country_conflict", detail))
        return CountryRow(name, codes[0] if codes else None, flags[0] if flags else None)


def _rank(row: SeasonRow, raw: Entry) -> tuple[str, str, bool, str]:
    """The greatest wins: later start, later end, current, greater canonical JSON."""
    return (row.start_date or "", row.end_date or "", row.is_current, canonical_json(raw))


def _dates(row: SeasonRow) -> dict[str, Any]:
    return {"start": row.start_date, "end": row.end_date, "current": row.is_current}


def readable_id(value: Any, maximum: int = 2**31 - 1, minimum: int = 1) -> int | None:
    """`value` when it is an integer of the range, else None."""
    return value if type(value) is int and minimum <= value <= maximum else None


def reason_of(error: ValueError) -> str:
    """Why an item is quarantined, without quoting it."""
    if not isinstance(error, ValidationError):
        return str(error)[:200]
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "entry"
    return _plain(f"{where}: {first['msg']}")


def _plain(text: str) -> str:
    """Provider's text that jsonb can hold: no NUL, no lone surrogates, bounded."""
    return text.encode("ascii", "backslashreplace").decode("ascii").replace("\x00", "\\0")[:200]
