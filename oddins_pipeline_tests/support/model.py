"""The catalog by the rules of docs/provider.md and docs/design.md, in plain Python: slow, short.

`read(entries)` is what one response says. `Catalog().apply(entries)` is what the tables hold after
it, or an untouched catalog and False when the response must be refused. Nothing here is imported
from the package, so that a mistake there is seen.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import psycopg
from slugify import slugify

Row = dict[str, Any]
Key = tuple[int, int]

FIXTURES = {
    "events": "fixtures_events",
    "lineups": "fixtures_lineups",
    "statistics_fixtures": "fixtures_statistics",
    "statistics_players": "fixtures_player_statistics",
}
FLAGS = (
    *("standings", "players", "top_scorers", "top_assists", "top_cards", "injuries"),
    *("predictions", "odds"),
)
LARGEST_ID = 2**31 - 1


class Unusable(Exception):  # noqa: N818 - a finding, not a failure
    """This season, or this league with its seasons, is quarantined."""


@dataclass
class LeaguesResponse:
    """One response's rows, by country name, provider league id, and (provider league id, year)."""

    countries: dict[str, Row] = field(default_factory=dict)
    leagues: dict[int, Row] = field(default_factory=dict)
    seasons: dict[Key, Row] = field(default_factory=dict)
    coverage: dict[Key, Row] = field(default_factory=dict)
    kept_leagues: set[int] = field(default_factory=set)
    kept_seasons: set[Key] = field(default_factory=set)
    quarantined: int = 0
    items: int = 0
    delists: bool = True


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


def read(entries: list[Any]) -> LeaguesResponse:
    """What one response says, whatever its elements are and in whatever order."""
    response = LeaguesResponse()
    texts: dict[int, str] = {}
    rivals: dict[Key, list[Any]] = {}
    for entry in entries:
        seasons = entry.get("seasons") if isinstance(entry, dict) else None
        weight = 1 + (len(seasons) if isinstance(seasons, list) else 0)
        response.items += weight
        try:
            league, country = _league(entry), _country(entry)
            _must(isinstance(seasons, list))
        except Unusable:
            response.quarantined += weight
            number = _number(entry)
            response.delists = response.delists and number is not None
            response.kept_leagues |= {number} - {None}  # type: ignore[arg-type]
            continue
        number = league.pop("id")
        if number not in texts or canonical(entry) < texts[number]:
            texts[number] = canonical(entry)
            response.leagues[number] = {**league, "country": country["name"], "_country": country}
        for raw in seasons or ():
            _sort_season(response, number, raw, rivals)
    for key, raws in rivals.items():
        row = _season(max(raws, key=_rank))
        response.coverage[key] = row.pop("coverage")
        del row["year"]
        response.seasons[key] = row
    _name_countries(response)
    return response


def _sort_season(
    response: LeaguesResponse, league: int, raw: Any, rivals: dict[Key, list[Any]]
) -> None:
    try:
        rivals.setdefault((league, _season(raw)["year"]), []).append(raw)
    except Unusable:
        response.quarantined += 1
        year = raw.get("year") if isinstance(raw, dict) else None
        if type(year) is int and 1900 <= year <= 2100:
            response.kept_seasons.add((league, year))
        else:
            response.kept_leagues.add(league)


def _name_countries(response: LeaguesResponse) -> None:
    reported: dict[str, list[Row]] = {}
    for league in response.leagues.values():
        country = league.pop("_country")
        reported.setdefault(country["name"], []).append(country)
    for name, rows in reported.items():
        response.countries[name] = {
            what: min((r[what] for r in rows if r[what] is not None), default=None)
            for what in ("code", "flag_url")
        }


def _dates(row: Row) -> tuple[Any, Any]:
    return row["start_date"], row["end_date"]


def canonical(value: Any) -> str:
    """One text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _must(condition: Any) -> None:
    if not condition:
        raise Unusable


def _number(entry: Any) -> int | None:
    league = entry.get("league") if isinstance(entry, dict) else None
    number = league.get("id") if isinstance(league, dict) else None
    return number if type(number) is int and 1 <= number <= LARGEST_ID else None


def _text(value: Any, *, needed: bool = False) -> str | None:
    if value is None:
        _must(not needed)
        return None
    _must(isinstance(value, str))
    _must(all(c != "\0" and not "\ud800" <= c <= "\udfff" for c in value))
    kept = "".join(c for c in value if unicodedata.category(c) != "Cc")
    found = unicodedata.normalize("NFC", kept).strip()
    _must(found or not needed)
    return found or None


def _media(value: Any) -> str | None:
    text = _text(value)
    return re.sub(r"^(https?://)media-[0-9]+\.", r"\1media.", text) if text else None


def _league(entry: Any) -> Row:
    _must(isinstance(entry, dict))
    raw = entry.get("league")
    _must(isinstance(raw, dict))
    _must(_number(entry) is not None)
    return {
        "id": raw["id"],
        "name": _name(raw),
        "type": _text(raw.get("type")),
        "logo_url": _media(raw.get("logo")),
    }


def _country(entry: Any) -> Row:
    raw = entry.get("country")
    _must(isinstance(raw, dict))
    return {
        "name": _name(raw),
        "code": _text(raw.get("code")),
        "flag_url": _media(raw.get("flag")),
    }


def _name(raw: Any) -> str:
    name = _text(raw.get("name"), needed=True)
    _must(name is not None and len(name) <= 500)
    return str(name)


def _season(raw: Any) -> Row:
    _must(isinstance(raw, dict))
    year = raw.get("year")
    _must(type(year) is int and 1900 <= year <= 2100)
    current = _flag(raw.get("current"))
    return {
        "year": year,
        "start_date": _day(raw.get("start")),
        "end_date": _day(raw.get("end")),
        "is_current": bool(current),
        "coverage": _coverage(raw.get("coverage")),
    }


def _coverage(raw: Any) -> Row:
    whole = {} if raw is None else raw
    _must(isinstance(whole, dict))
    part = whole.get("fixtures")
    part = {} if part is None else part
    _must(isinstance(part, dict))
    four = {column: _flag(part.get(name)) for name, column in FIXTURES.items()}
    known = [value for value in four.values() if value is not None]
    any_of_them = any(known) if known else None
    return {"fixtures": any_of_them, **four, **{flag: _flag(whole.get(flag)) for flag in FLAGS}}


def _flag(value: Any) -> bool | None:
    _must(value is None or value is True or value is False)
    return value  # type: ignore[no-any-return]


def _day(value: Any) -> str | None:
    if value is None:
        return None
    _must(isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value))
    try:
        date(int(value[:4]), int(value[5:7]), int(value[8:]))
    except ValueError:
        raise Unusable from None
    return str(value)


def _rank(raw: Any) -> tuple[str, str, bool, str]:
    return (raw.get("start") or "", raw.get("end") or "", bool(raw.get("current")), canonical(raw))


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
