"""The responses of one size, and their rows by the simplest code: shared by peers and checks.

Nothing here uses the package's models, so that a check against it is independent.
"""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any, NamedTuple

from oddins_pipeline.sample_provider import generate_leagues

Entry = dict[str, Any]
Row = tuple[Any, ...]

STATES = ("first load", "unchanged", "1 % changed")
COLUMNS = {
    "countries": ("name", "code", "flag_url"),
    "leagues": ("provider_league_id", "country_name", "name", "type", "logo_url"),
    "seasons": ("provider_league_id", "year", "start_date", "end_date", "is_current"),
    "season_coverage": (
        *("provider_league_id", "year", "fixtures", "fixtures_events", "fixtures_lineups"),
        *("fixtures_statistics", "fixtures_player_statistics", "standings", "players"),
        *("top_scorers", "top_assists", "top_cards", "injuries", "predictions", "odds"),
    ),
}
KEYS = {
    "countries": ("name",),
    "leagues": ("provider_league_id",),
    "seasons": ("provider_league_id", "year"),
    "season_coverage": ("provider_league_id", "year"),
}
FIXTURES = ("events", "lineups", "statistics_fixtures", "statistics_players")
FLAGS = COLUMNS["season_coverage"][7:]


class Rows(NamedTuple):
    """Rows of the four tables, in the order of COLUMNS, with natural keys."""

    countries: list[Row]
    leagues: list[Row]
    seasons: list[Row]
    season_coverage: list[Row]


def three_responses(scale: float) -> dict[str, list[Entry]]:
    """State → entries: a first response, the same in another order, and one with 1 % changed."""
    first = generate_leagues(scale)
    generator = random.Random(2)  # noqa: S311 - a repeatable shuffle
    again = first[:]
    generator.shuffle(again)
    return {
        "first load": first,
        "unchanged": again,
        "1 % changed": [_changed(entry) for entry in again],
    }


def _changed(entry: Entry) -> Entry:
    """Every hundredth league renamed, and about 1 % of the seasons with another flag."""
    number = entry["league"]["id"]
    if number % 10 not in {3, 7} and number % 100:
        return entry
    new = copy.deepcopy(entry)
    if number % 100 == 0:
        new["league"]["name"] += " Renamed"
    for season in new["seasons"]:
        if (number // 10 + season["year"]) % 20 == 0:
            season["coverage"]["odds"] = not season["coverage"]["odds"]
    return new


def body_of(entries: list[Entry]) -> bytes:
    """A full response as the provider serializes it."""
    envelope = {"get": "leagues", "parameters": [], "errors": [], "results": len(entries)}
    paging = {"current": 1, "total": 1}
    value = {**envelope, "paging": paging, "response": entries}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def plain_rows(entries: list[Entry]) -> Rows:
    """The tables' expected rows: no validation; of duplicate seasons the later dates win."""
    countries: dict[str, Row] = {}
    leagues: list[Row] = []
    seasons: dict[tuple[int, int], Row] = {}
    coverage: dict[tuple[int, int], Row] = {}
    for entry in entries:
        league, country = entry["league"], entry["country"]
        number = league["id"]
        countries[country["name"]] = (country["name"], country["code"], country["flag"])
        logo = _NUMBERED.sub("media.", league["logo"], count=1)
        leagues.append((number, country["name"], league["name"].strip(), league["type"], logo))
        for season in entry["seasons"]:
            key = (number, season["year"])
            start, end = season["start"], season["end"]
            known = seasons.get(key)
            if known is not None and (known[2] or "", known[3] or "") > (start or "", end or ""):
                continue
            seasons[key] = (*key, start, end, season["current"])
            coverage[key] = (*key, *_flags(season["coverage"]))
    return Rows([*countries.values()], leagues, [*seasons.values()], [*coverage.values()])


_NUMBERED = re.compile(r"media-\d+\.")


def _flags(coverage: Entry) -> Row:
    fixtures = coverage["fixtures"]
    four = [fixtures[flag] for flag in FIXTURES]
    return (True in four, *four, *(coverage.get(flag) for flag in FLAGS))
