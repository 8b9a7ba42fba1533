"""A generated `/leagues` response of today's size, with the quirks of the real one."""

from __future__ import annotations

import random
from typing import Any

Entry = dict[str, Any]

COUNTRIES, LEAGUES = 172, 1250
FIRST_YEAR, LAST_YEAR = 2008, 2027
TWICE = {397: 2018, 276: 2018, 379: 2020, 402: 2019, 542: 2021}
"""League → the year that is listed twice, as two real seasons with other dates."""

_REAL = (
    *(("England", "GB-ENG"), ("Scotland", "GB-SCT"), ("Spain", "ES"), ("Italy", "IT")),
    *(("Germany", "DE"), ("France", "FR"), ("Türkiye", "TR"), ("Faroe-Islands", "FO")),
    *(("Ukraine", "UA"), ("Crimea", "UA"), ("Brazil", "BR"), ("Czech-Republic", "CZ")),
)
_FAMOUS = {
    1: ("World Cup", "World", "Cup"),
    39: ("Premier League", "England", "League"),
    44: ("AXA Women’s Super League", "England", "League"),
    140: ("La Liga", "Spain", "League"),
    206: ("Türkiye Kupası", "Türkiye", "Cup"),
    281: ("Løgmanssteypið", "Faroe-Islands", "Cup"),
    300: ("Divisão de Honra ", "Brazil", "League"),
    301: ("Regional Championship of the Northern Lowlands, East", "Scotland", "League"),
}
MAX_DELISTED = 5
_SPONSORS = ("Nordlys", "Aurelia", "Kestrel", "Meridian")
_KINDS = ("Premier League", "First Division", "Super Cup", "Cup", "U19 League", "Women League")
_FLAGS = (
    *("standings", "players", "top_scorers", "top_assists", "top_cards", "injuries"),
    *("predictions", "odds"),
)
_FIXTURES = ("events", "lineups", "statistics_fixtures", "statistics_players")


def generate_leagues(scale: float = 1, seed: int = 1) -> list[Entry]:
    """`response` of a full response: dense ids 1..N in an unstable order.

    At scale 1 about 172 countries, 1,250 leagues and 8,400 seasons; the same seed gives the
    same response on every day.
    """
    chance = random.Random(seed)
    countries = _countries(max(len(_REAL) + 1, round(COUNTRIES * min(scale, 1))))
    count = max(1, round(LEAGUES * scale))
    entries = [_entry(number, countries, chance) for number in range(1, count + 1)]
    chance.shuffle(entries)
    return entries


def pass_days(entries: list[Entry], days: int, seed: int = 1) -> None:
    """Lets the world move on, in place: day N is reached by way of day N - 1, whoever asks.

    Each day switches coverage on, every third one begins a season, every tenth renames a league,
    and every twentieth delists one: few enough in all for the shrinkage check.
    """
    spare = len(entries) // (LEAGUES // MAX_DELISTED)
    for day in range(1, days + 1):
        chance = random.Random(f"{seed}/{day}")
        coverage = chance.choice(entries)["seasons"][-1]["coverage"]
        for flag in chance.sample(_FLAGS, 2):
            coverage[flag] = not coverage.get(flag)
        if day % 3 == 0:
            _begin_season(chance.choice(entries)["seasons"], chance)
        if day % 10 == 0:
            league = chance.choice(entries)["league"]
            league["name"] = f"{chance.choice(_SPONSORS)} {league['name']}"
        if day % 20 == 0 and day // 20 <= spare:
            entries.pop(chance.randrange(len(entries)))


def _begin_season(seasons: list[Entry], chance: random.Random) -> None:
    year = max(season["year"] for season in seasons) + 1
    if year <= LAST_YEAR:
        for season in seasons:
            season["current"] = False
        seasons.append({**_season(year, chance, shift=0), "current": True})


def _countries(count: int) -> list[Entry]:
    found: list[Entry] = [{"name": "World", "code": None, "flag": None}]
    found += [_country(name, code) for name, code in _REAL]
    while len(found) < count:
        number = len(found)
        code = chr(65 + number // 26) + chr(65 + number % 26)
        found.append(_country(f"Country-{number:03d}", code))
    return found


def _country(name: str, code: str) -> Entry:
    return {
        "name": name,
        "code": code,
        "flag": f"https://media.api-sports.io/flags/{code.lower()}.svg",
    }


def _entry(number: int, countries: list[Entry], chance: random.Random) -> Entry:
    place = 0 if chance.random() < 0.12 else chance.randrange(1, len(countries))
    country = countries[place]
    name = chance.choice(_KINDS)
    kind = "Cup" if "Cup" in name else "League"
    if number in _FAMOUS:
        name, home, kind = _FAMOUS[number]
        country = next(one for one in countries if one["name"] == home)
    host = chance.choice(("media", "media-1", "media-2", "media-3"))
    return {
        "league": {
            "id": number,
            "name": name,
            "type": kind,
            "logo": f"https://{host}.api-sports.io/football/leagues/{number}.png",
        },
        "country": dict(country),
        "seasons": _seasons(number, chance),
    }


def _seasons(number: int, chance: random.Random) -> list[Entry]:
    last = chance.choice((2025, 2025, 2026, 2026, LAST_YEAR))
    first = max(FIRST_YEAR, last - chance.randrange(13))
    years = list(range(first, last + 1))
    if number in TWICE:
        years = sorted({*years, TWICE[number]})
    seasons = [_season(year, chance, shift=0) for year in years]
    if chance.random() > 0.002:
        seasons[-1]["current"] = True
    if number == 7 and len(seasons) > 1:
        seasons[-2]["current"] = True
    if number in TWICE:
        seasons.append(_season(TWICE[number], chance, shift=1))
    return seasons


def _season(year: int, chance: random.Random, *, shift: int) -> Entry:
    start: str | None = (
        f"{year + shift}-{chance.randrange(1, 10):02d}-{chance.randrange(1, 29):02d}"
    )
    end: str | None = f"{year + shift + 1}-05-{chance.randrange(1, 29):02d}"
    if chance.random() < 0.001:
        start = end = None
    covered = chance.random() < 0.6
    coverage: Entry = {
        "fixtures": {flag: covered and chance.random() < 0.8 for flag in _FIXTURES},
        **{flag: covered and chance.random() < 0.7 for flag in _FLAGS},
    }
    if year < 2010 and chance.random() < 0.1:
        for late in ("top_assists", "top_cards", "injuries"):
            del coverage[late]
    return {"year": year, "start": start, "end": end, "current": False, "coverage": coverage}
