"""One response by the rules of docs/provider.md, in plain Python: slow, short.

Nothing here is imported from the package, so that a mistake there is seen.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from typing import Any

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
