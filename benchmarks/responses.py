"""A response and its rows by the simplest code: shared by peers and checks.

Nothing here imports the package: a check against it is independent, a peer's process is its own.
"""

from __future__ import annotations

import re
import urllib.request
import zlib
from typing import Any, NamedTuple

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


def fetch(provider: str) -> bytes:
    """The response's content, decompressed."""
    headers = {"x-apisports-key": "bench", "accept-encoding": "gzip"}
    request = urllib.request.Request(f"{provider}/leagues", headers=headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as response:  # noqa: S310 - loopback
        return zlib.decompress(response.read(), 31)


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
