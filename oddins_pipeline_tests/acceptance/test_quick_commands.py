"""The quick ways through hash and normaliser give exactly what the thorough ones give."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddins_pipeline.catalog.models import unknown_season_fields
from oddins_pipeline.catalog.response import canonical_hash
from oddins_pipeline.catalog.seasons import parse_fast, season_row
from oddins_pipeline.sample_provider import generate_leagues

ENTRIES = generate_leagues(0.02)
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.integers(1899, 2101)
    | st.sampled_from(
        [0.0, -0.0, 1.0, 10**30, "", "1", "{", "é", "\ud800", "2019-02-30", "2019-01-01"]
    )
    | st.just([])
    | st.just({})
    | st.permutations([("b", 1), ("a", {"y": 1, "x": 2})]).map(dict)
    | st.just([{"b": 1, "a": 2}])
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a tree."""
    items: Any = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    return [path, *(found for key, part in items for found in places(part, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of the tree with another value at `path`."""
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = put(value[path[0]], path[1:], new)
    return made


@st.composite
def entries(draw: st.DrawFn) -> Any:
    """An entry of the sample, with up to three oddities anywhere in it."""
    entry: Any = draw(st.sampled_from(ENTRIES))
    entry = {**entry, "seasons": entry["seasons"][: draw(st.integers(0, 3))]}
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(places(entry)))
        at = entry
        for key in path:
            at = at[key]
        what = draw(st.sampled_from(["replace", "add", "repeat"]))
        if what == "add" and isinstance(at, dict):
            entry = put(entry, path, {**at, draw(st.sampled_from(["a", "name", "zz"])): draw(ODD)})
        elif what == "repeat" and isinstance(at, list):
            entry = put(entry, path, [*at, *at[:1]])
        else:
            entry = put(entry, path, draw(ODD))
    return entry


def plainly(entry: Any) -> str:
    """One text for equal entries, by the standard library alone."""
    seasons = entry.get("seasons") if isinstance(entry, dict) else None
    if not isinstance(seasons, list):
        return json.dumps(entry, sort_keys=True)
    texts = sorted(json.dumps(season, sort_keys=True) for season in seasons)
    return json.dumps({**entry, "seasons": texts}, sort_keys=True)


def shuffled(value: Any, chance: random.Random, *, lists: bool) -> Any:
    """The same with keys in another order everywhere; the elements too where `lists`."""
    if isinstance(value, dict):
        keys = chance.sample(list(value), len(value))
        return {key: shuffled(value[key], chance, lists=key == "seasons") for key in keys}
    if isinstance(value, list):
        found = [shuffled(item, chance, lists=False) for item in value]
        return chance.sample(found, len(found)) if lists else found
    return value


@given(entries(), st.integers(0, 2**32))
def test_the_hash_does_not_depend_on_any_order(entry: Any, seed: int) -> None:
    other = {"league": {"id": 5}}
    moved = shuffled(entry, random.Random(seed), lists=False)
    if isinstance(entry, dict) and plainly(moved) != plainly(entry):
        raise AssertionError("the shuffle changed the entry")
    assert canonical_hash([moved, other]) == canonical_hash([other, entry])


@given(entries(), entries())
def test_the_hash_reports_any_two_different_entries_apart(one: Any, other: Any) -> None:
    same = plainly(one) == plainly(other)
    assert (canonical_hash([one]) == canonical_hash([other])) is same


@given(entries())
def test_the_hash_sees_a_change_of_one_value(entry: Any) -> None:
    for path in places(entry):
        at = entry
        for key in path:
            at = at[key]
        if not isinstance(at, dict | list):
            changed = put(entry, path, "another" if at != "another" else None)
            assert canonical_hash([changed]) != canonical_hash([entry])


@given(entries())
def test_a_documented_season_is_the_row_that_the_models_make(entry: Any) -> None:
    seasons = entry.get("seasons") if isinstance(entry, dict) else None
    found: list[Any] = seasons if isinstance(seasons, list) else [seasons]
    for raw in found:
        quick = parse_fast(7, raw)
        if quick is None:
            continue
        assert quick == season_row(7, raw)
        assert [type(value) for value in quick] == [type(value) for value in season_row(7, raw)]
        assert unknown_season_fields(raw) == set()


def test_nearly_every_season_of_the_sample_is_documented() -> None:
    seasons = [season for entry in ENTRIES for season in entry["seasons"]]
    quick = [parse_fast(1, season) for season in seasons]
    assert sum(row is not None for row in quick) > 0.9 * len(seasons)


@pytest.mark.parametrize("place", [(), ("coverage",), ("coverage", "fixtures")])
def test_a_season_with_an_unknown_field_takes_the_thorough_way(place: tuple[str, ...]) -> None:
    season = ENTRIES[0]["seasons"][-1]
    assert parse_fast(1, season) is not None
    inner = season
    for key in place:
        inner = inner[key]
    assert parse_fast(1, put(season, place, {**inner, "novelty": True})) is None
    for missing in inner:
        less = {key: value for key, value in inner.items() if key != missing}
        assert parse_fast(1, put(season, place, less)) is None
