"""The rules for the data in docs/provider.md, one by one."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from oddins_pipeline.catalog.normalise import normalise
from oddins_pipeline.catalog.response import canonical_hash
from oddins_pipeline.sample_provider import generate_leagues

Entry = dict[str, Any]


def season(year: Any = 2024, **changes: Any) -> Entry:
    return {
        "year": year,
        "start": "2024-08-01",
        "end": "2025-05-31",
        "current": False,
        "coverage": {"fixtures": {"events": True}, "odds": False},
        **changes,
    }


def entry(number: int = 39, *seasons: Entry, **changes: Any) -> Entry:
    return {
        "league": {"id": number, "name": "Premier League", "type": "League", "logo": None},
        "country": {"name": "England", "code": "GB-ENG", "flag": None},
        "seasons": list(seasons or [season()]),
        **changes,
    }


def kinds(entries: list[Any]) -> list[str]:
    return [anomaly.kind for anomaly in normalise(entries).anomalies]


def test_a_plain_entry_becomes_one_row_of_each() -> None:
    batch = normalise([entry()])
    assert batch.countries == [("England", "GB-ENG", None)]
    (league,) = batch.leagues
    assert league[:4] == (39, "England", "Premier League", "League")
    (row,) = batch.seasons
    assert row[:5] == (39, 2024, "2024-08-01", "2025-05-31", False)
    assert (row.fixtures, row.fixtures_events, row.fixtures_lineups) == (True, True, None)
    assert (row.odds, row.predictions) == (False, None)


@pytest.mark.parametrize(
    ("four", "fixtures"),
    [
        ({}, None),
        ({"events": None}, None),
        ({"events": False}, False),
        ({"events": False, "lineups": True}, True),
    ],
)
def test_fixtures_is_any_of_the_four(four: Entry, fixtures: bool | None) -> None:
    (row,) = normalise([entry(39, season(coverage={"fixtures": four}))]).seasons
    assert row.fixtures is fixtures


@pytest.mark.parametrize("missing", ["coverage", "start", "end", "current"])
def test_what_may_be_missing_is_unknown(missing: str) -> None:
    for changed in (season(**{missing: None}), season()):
        if changed[missing] is not None:
            del changed[missing]
        batch = normalise([entry(39, changed)])
        assert batch.quarantined_items == 0
        assert len(batch.seasons) == 1


def test_names_are_composed_stripped_and_without_control_characters() -> None:
    raw = entry()
    raw["league"]["name"] = " Cafe\x07\u0301\x07 Liga\n"
    raw["league"]["logo"] = "https://media-3.api-sports.io/football/leagues/39.png"
    (row,) = normalise([raw]).leagues
    assert row.name == "Café Liga"
    assert row.logo_url == "https://media.api-sports.io/football/leagues/39.png"


@pytest.mark.parametrize(
    ("one", "other", "winner"),
    [
        (season(start="2024-01-01"), season(start="2024-02-01"), 1),
        (season(start=None), season(start="2024-02-01"), 1),
        (season(end="2025-06-30"), season(end="2025-05-01"), 0),
        (season(current=True), season(current=False), 0),
        (season(coverage={"odds": True}), season(coverage={"odds": False}), 0),
    ],
)
def test_of_two_seasons_of_a_year_the_later_wins_in_any_order(
    one: Entry, other: Entry, winner: int
) -> None:
    (expected,) = normalise([entry(39, (one, other)[winner])]).seasons
    for pair in ((one, other), (other, one)):
        batch = normalise([entry(39, *copy.deepcopy(pair))])
        assert batch.seasons == [expected]
        assert [anomaly.kind for anomaly in batch.anomalies] == ["duplicate_season"]
        assert batch.quarantined_items == 0


def test_a_league_listed_twice_unites_its_seasons() -> None:
    one, other = entry(39, season(2023)), entry(39, season(2024))
    other["league"]["name"] = "A Premier League"
    for pair in ([one, other], [other, one]):
        batch = normalise(pair)
        assert [row.name for row in batch.leagues] == ["A Premier League"]
        assert [row.year for row in batch.seasons] == [2023, 2024]
        assert [anomaly.kind for anomaly in batch.anomalies] == ["duplicate_league"]


def test_two_codes_of_a_country_resolve_to_the_smaller_not_null() -> None:
    entries = [entry(1), entry(2), entry(3)]
    entries[0]["country"]["code"] = None
    entries[1]["country"]["code"] = "GB"
    batch = normalise(entries)
    assert batch.countries == [("England", "GB", None)]
    assert [anomaly.kind for anomaly in batch.anomalies] == ["country_conflict"]


@pytest.mark.parametrize(
    "broken",
    [
        season(year="2024"),
        season(year=1899),
        season(start="2024-02-30"),
        season(start="20240101"),
        season(current="yes"),
        season(current=1),
        season(coverage=[]),
        season(coverage={"odds": "true"}),
        season(coverage={"fixtures": {"events": 1}}),
        "a season",
    ],
)
def test_a_broken_season_is_quarantined_alone(broken: Any) -> None:
    batch = normalise([entry(39, season(2023), broken)])
    assert [row.year for row in batch.seasons] == [2023]
    assert batch.quarantined_items == 1
    assert [anomaly.kind for anomaly in batch.anomalies] == ["quarantined_season"]
    assert batch.delists


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("league", "id", "39"),
        ("league", "id", 0),
        ("league", "id", 2**31),
        ("league", "id", True),
        ("league", "name", None),
        ("league", "name", " \n"),
        ("league", "name", "nul\x00"),
        ("league", "name", "\ud800"),
        ("league", "name", "x" * 501),
        ("league", "type", 7),
        ("country", "name", "ü" * 501),
        ("country", "name", None),
        ("country", "code", 44),
    ],
)
def test_a_broken_league_is_quarantined_with_its_seasons(part: str, field: str, value: Any) -> None:
    raw = entry(39, season(2023), season(2024))
    raw[part][field] = value
    batch = normalise([raw, entry(40)])
    assert [row.provider_league_id for row in batch.leagues] == [40]
    assert batch.quarantined_items == 3
    readable = field != "id"
    assert batch.quarantined_leagues == (frozenset({39}) if readable else frozenset())
    assert batch.delists is readable


@pytest.mark.parametrize(
    "raw", [None, 7, "x", [], {}, {"league": 1}, {"league": {}, "seasons": {}}]
)
def test_what_is_no_entry_at_all_never_raises(raw: Any) -> None:
    batch = normalise([raw, entry()])
    assert len(batch.leagues) == 1
    assert not batch.delists


def test_unknown_fields_are_announced_once_per_path() -> None:
    raw = entry(39, season(2023, novelty=1), season(2024, novelty=2))
    raw["league"]["rank"] = 1
    raw["seasons"][0]["coverage"]["fixtures"]["xg"] = True
    found = normalise([raw]).anomalies
    assert [anomaly.detail["path"] for anomaly in found] == [
        "league.rank",
        "seasons[].coverage.fixtures.xg",
        "seasons[].novelty",
    ]


def test_order_changes_neither_rows_nor_hash_nor_anomalies() -> None:
    entries = generate_leagues(0.5)
    expected, digest = normalise(copy.deepcopy(entries)), canonical_hash(entries)
    assert expected.anomalies
    for turn in range(3):
        random.Random(turn).shuffle(entries)
        for one in entries:
            random.Random(turn).shuffle(one["seasons"])
        assert canonical_hash(entries) == digest
        assert normalise(copy.deepcopy(entries)) == expected


def test_any_difference_changes_the_hash() -> None:
    entries = generate_leagues(0.01)
    digest = canonical_hash(entries)
    entries[0]["seasons"][0]["coverage"]["brand_new"] = True
    assert canonical_hash(entries) != digest
