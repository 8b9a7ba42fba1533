"""Random lives of a catalog: what a provider may response next, and what operators do meanwhile."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline.sample_provider.filters import filtered
from oddins_pipeline_tests.support.responses import Entries

Entry = dict[str, object]


class History:
    """The provider's list as it goes through the years; the same seed, the same life."""

    def __init__(self, seed: int, scale: float = 0.03) -> None:
        self.chance = random.Random(seed)
        self.entries: Entries = generate_leagues(scale, seed)
        self._missing: Entries = []
        self._names = iter(range(1_000_000))

    def full(self) -> Entries:
        """The whole list, in an unstable order."""
        response: Entries = json.loads(json.dumps(self.entries))
        self.chance.shuffle(response)
        for entry in response:
            self.chance.shuffle(entry["seasons"])
        return response

    def partial(self) -> tuple[Entries, dict[str, str]]:
        """A filtered view, which may be a day older or newer than the whole list."""
        entry = self.chance.choice(self.entries)
        params = self.chance.choice(
            [
                {"season": str(self.chance.randrange(2015, 2028))},
                {"country": entry["country"]["name"]},
                {"id": str(entry["league"]["id"])},
                {"current": "true"},
            ]
        )
        kept = self.entries
        if self.chance.random() < 0.5:
            self.entries = self.full()
            self.pass_time(2)
        found: Entries = json.loads(json.dumps(filtered(self.entries + self._missing, params)))
        self.entries = kept
        return found, params

    def malformed(self) -> Entries:
        """The whole list with something in it that cannot be a row."""
        response = self.full()
        for spoil in self.chance.sample(SPOILERS, self.chance.randrange(1, 3)):
            spoil(response[self.chance.randrange(len(response))])
        return response

    def pass_time(self, events: int) -> None:
        """Lets things happen to the list."""
        for _ in range(events):
            self.chance.choice(EVENTS)(self)

    def league(self) -> dict[str, dict[str, object]]:
        return self.chance.choice(self.entries)

    def season(self) -> dict[str, object]:
        seasons: Entries = self.chance.choice([e for e in self.entries if e["seasons"]])["seasons"]
        return self.chance.choice(seasons)

    def name(self) -> str:
        return f"Ñame {next(self._names)}"


def _rename_league(life: History) -> None:
    life.league()["league"]["name"] = life.name()


def _change_league(life: History) -> None:
    league = life.league()["league"]
    league["type"] = life.chance.choice(["League", "Cup", None])
    league["logo"] = life.chance.choice([None, f"https://media-2.example.test/{life.name()}.png"])


def _of_country(life: History, name: object) -> Entries:
    return [entry for entry in life.entries if entry["country"]["name"] == name]


def _rename_country(life: History) -> None:
    new = life.name()
    for entry in _of_country(life, life.league()["country"]["name"]):
        entry["country"]["name"] = new


def _split_country(life: History) -> None:
    new = life.name()
    for entry in _of_country(life, life.league()["country"]["name"])[::2]:
        entry["country"]["name"] = new


def _recode_country(life: History) -> None:
    code = life.chance.choice([None, "GB-ENG", "XX", "YY"])
    for entry in _of_country(life, life.league()["country"]["name"]):
        entry["country"]["code"] = code


def _move_league(life: History) -> None:
    life.league()["country"] = dict(life.league()["country"])


def _drop_leagues(life: History) -> None:
    for _ in range(life.chance.randrange(1, 4)):
        if len(life.entries) > 10:
            place = life.chance.randrange(len(life.entries))
            life._missing.append(life.entries.pop(place))


def _drop_country(life: History) -> None:
    missing = _of_country(life, life.league()["country"]["name"])
    if len(life.entries) - len(missing) > 10:
        life._missing += missing
        life.entries = [entry for entry in life.entries if entry not in missing]


def _relist(life: History) -> None:
    if life._missing:
        entry = life._missing.pop(life.chance.randrange(len(life._missing)))
        if life.chance.random() < 0.5:
            entry["league"]["name"] = life.name()
        life.entries.append(entry)


def _new_league(life: History) -> None:
    entry = json.loads(json.dumps(life.league()))
    entry["league"]["id"] = 5000 + next(life._names)
    life.entries.append(entry)


def _drop_season(life: History) -> None:
    seasons: list[object] = life.league()["seasons"]  # type: ignore[assignment]
    if seasons:
        seasons.pop(life.chance.randrange(len(seasons)))


def _season_again(life: History) -> None:
    """A new year, a delisted one, or one that is listed twice."""
    entry = life.league()
    season = json.loads(json.dumps(life.season()))
    season["start"] = f"{life.chance.randrange(2010, 2028)}-01-01"
    entry["seasons"].append(season)  # type: ignore[attr-defined]


def _reschedule(life: History) -> None:
    season = life.season()
    season["start"] = life.chance.choice([None, "2024-02-29", "2025-07-01"])
    season["end"] = life.chance.choice([None, "2026-05-31"])
    season["current"] = life.chance.random() < 0.5


def _flip_coverage(life: History) -> None:
    coverage = life.season()["coverage"]
    assert isinstance(coverage, dict)
    for flag in life.chance.sample(["odds", "standings", "injuries", "predictions"], 2):
        coverage[flag] = life.chance.choice([True, False, None])
    if isinstance(coverage.get("fixtures"), dict):
        coverage["fixtures"]["lineups"] = life.chance.choice([True, False, None])


EVENTS: list[Callable[[History], None]] = [
    _rename_league,
    _change_league,
    _rename_country,
    _split_country,
    _recode_country,
    _move_league,
    _drop_leagues,
    _drop_country,
    *[_relist] * 4,
    _new_league,
    _drop_season,
    _season_again,
    _reschedule,
    _flip_coverage,
]


def _no_id(entry: dict[str, dict[str, object]]) -> None:
    entry["league"]["id"] = "39"


def _no_name(entry: dict[str, dict[str, object]]) -> None:
    entry["league"]["name"] = None


def _no_year(entry: dict[str, object]) -> None:
    entry["seasons"] = [{"start": None}, *entry["seasons"]]  # type: ignore[misc]


def _no_such_day(entry: dict[str, Entries]) -> None:
    for season in entry["seasons"][:1]:
        season["start"] = "2023-02-29"


SPOILERS: list[Callable[[dict[str, object]], None]] = [_no_id, _no_name, _no_year, _no_such_day]  # type: ignore[list-item]
