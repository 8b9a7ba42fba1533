"""The catalog by the rules of docs/provider.md and docs/design.md, in plain Python: slow, short.

`Catalog().apply(entries)` is what the tables hold after a response, as `model_response` reads it,
or an untouched catalog and False when the response must be refused. Nothing here is imported from
the package, so that a mistake there is seen.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import psycopg
from slugify import slugify

from oddins_pipeline_tests.support.model_response import Key, LeaguesResponse, Row, read


@dataclass
class Catalog:
    """The tables. A country carries its `number` in the order of arrival, which a rename keeps;
    `delisted` is a flag here.
    """

    countries: dict[str, Row] = field(default_factory=dict)
    leagues: dict[int, Row] = field(default_factory=dict)
    seasons: dict[Key, Row] = field(default_factory=dict)
    coverage: dict[Key, Row] = field(default_factory=dict)

    def apply(self, entries: list[Any], *, full: bool = True, force: bool = False) -> bool:
        """Publishes the response; False when the guard refuses it, and then nothing has changed."""
        response = read(entries)
        if not self._accepts(response, full=full, force=force):
            return False
        if full:
            self._rename(response)
            for old, new in self._renumbered(response).items():
                self.seasons[new], self.coverage[new] = (
                    self.seasons.pop(old),
                    self.coverage.pop(old),
                )
        for name, row in response.countries.items():
            known = self.countries.get(name, {"number": len(self.countries)})
            self.countries[name] = {**known, **row, "delisted": False}
        for number in sorted(response.leagues):
            row = response.leagues[number]
            known = self.leagues.get(number) or {"slug": self._slug(number, row)}
            self.leagues[number] = {**known, **row, "delisted": False}
        for key, row in response.seasons.items():
            self.seasons[key] = {**row, "delisted": False}
            self.coverage[key] = response.coverage[key]
        if full and response.delists:
            self._delist(response)
        return True

    def _accepts(self, response: LeaguesResponse, *, full: bool, force: bool) -> bool:
        if full and not response.leagues:
            return False
        if force:
            return True
        if response.quarantined > response.items / 100:
            return False
        if not full:
            return True
        leagues = [n for n, row in self.leagues.items() if not row["delisted"]]
        seasons = [
            key
            for key, row in self.seasons.items()
            if not row["delisted"] and not self.leagues[key[0]]["delisted"]
        ]
        there = [n for n in leagues if n in response.leagues or n in response.kept_leagues]
        renumbered = self._renumbered(response)
        theirs = [
            key
            for key in seasons
            if key in response.seasons
            or key in renumbered
            or key in response.kept_seasons
            or key[0] in response.kept_leagues
        ]
        return len(there) * 1000 >= len(leagues) * 995 and len(theirs) * 100 >= len(seasons) * 99

    def _renumbered(self, response: LeaguesResponse) -> dict[Key, Key]:
        """The only missing season of a league → the only unknown one with the same two dates."""
        found: dict[Key, Key] = {}
        for number in response.leagues.keys() - response.kept_leagues:
            if number not in self.leagues or self.leagues[number]["delisted"]:
                continue
            mine = {key: row for key, row in self.seasons.items() if key[0] == number}
            there = response.seasons.keys() | response.kept_seasons
            missing = [key for key, row in mine.items() if not row["delisted"] and key not in there]
            if len(missing) != 1:
                continue
            dates = _dates(mine[missing[0]])
            same = [
                key
                for key, row in response.seasons.items()
                if key[0] == number and key not in mine and _dates(row) == dates
            ]
            if len(same) == 1 and None not in dates:
                found[missing[0]] = same[0]
        return found

    def _rename(self, response: LeaguesResponse) -> None:
        """Old names of which exactly one unknown name has taken over all the listed leagues."""
        wanted: dict[str, list[str]] = {}
        for old, row in self.countries.items():
            mine = [n for n, league in self.leagues.items() if league["country"] == old]
            names = {response.leagues[n]["country"] for n in mine if n in response.leagues}
            if old in response.countries or len(names) != 1:
                continue
            (new,) = names
            same_code = row["code"] is not None and row["code"] == response.countries[new]["code"]
            if same_code and new not in self.countries:
                wanted.setdefault(new, []).append(old)
        for new, olds in wanted.items():
            if len(olds) == 1:
                self.countries[new] = self.countries.pop(olds[0])
                for league in self.leagues.values():
                    if league["country"] == olds[0]:
                        league["country"] = new

    def _slug(self, number: int, row: Row) -> str:
        slug = slugify(f"{row['country']} {row['name']}")[:500] or f"league-{number}"
        while slug in {league["slug"] for league in self.leagues.values()}:
            slug = f"{slug[: 499 - len(str(number))]}-{number}"
        return slug

    def _delist(self, response: LeaguesResponse) -> None:
        for number, row in self.leagues.items():
            if number not in response.leagues and number not in response.kept_leagues:
                row["delisted"] = True
        for key, row in self.seasons.items():
            kept = key in response.kept_seasons or key[0] in response.kept_leagues
            if key not in response.seasons and not kept:
                row["delisted"] = True
        used = {row["country"] for row in self.leagues.values() if not row["delisted"]}
        for name, row in self.countries.items():
            if name not in response.countries and name not in used:
                row["delisted"] = True

    def tables(self) -> dict[str, dict[Any, Row]]:
        """What `read_tables` gives of a database that is right."""
        countries = {
            name: {what: value for what, value in row.items() if what != "number"}
            for name, row in self.countries.items()
        }
        return {
            "countries": countries,
            "leagues": self.leagues,
            "seasons": self.seasons,
            "season_coverage": self.coverage,
        }

    def copy(self) -> Catalog:
        """The same catalog, apart."""
        return copy.deepcopy(self)


def _dates(row: Row) -> tuple[Any, Any]:
    return row["start_date"], row["end_date"]


_READ = {
    "countries": "SELECT name, to_jsonb(t) FROM countries t",
    "leagues": "SELECT provider_league_id, to_jsonb(t) || jsonb_build_object('country', c.name)"
    " FROM leagues t JOIN countries c ON c.id = t.country_id",
    "seasons": "SELECT provider_league_id, year, to_jsonb(t)"
    " FROM seasons t JOIN leagues l ON l.id = t.league_id",
    "season_coverage": "SELECT provider_league_id, year, to_jsonb(t) FROM season_coverage t"
    " JOIN seasons s ON s.id = t.season_id JOIN leagues l ON l.id = s.league_id",
}
_KEYS = {
    *("id", "league_id", "country_id", "season_id", "provider_league_id", "year"),
    *("created_at", "updated_at", "delisted_at"),
}


def read_tables(connection: psycopg.Connection[Any]) -> dict[str, dict[Any, Row]]:
    """The four tables in the model's terms."""
    found: dict[str, dict[Any, Row]] = {}
    for table, statement in _READ.items():
        rows = connection.execute(statement.encode()).fetchall()
        found[table] = {row[0] if len(row) == 2 else row[:2]: _plain(row[-1]) for row in rows}
    for name, row in found["countries"].items():
        assert row.pop("name") == name
    return found


def _plain(row: Row) -> Row:
    plain = {column: value for column, value in row.items() if column not in _KEYS}
    return {**plain, "delisted": row["delisted_at"] is not None} if "delisted_at" in row else plain
