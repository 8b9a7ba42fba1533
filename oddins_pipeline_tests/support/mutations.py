"""Hypothesis strategies: good responses, and what can be done to them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from oddins_pipeline.sample_provider import generate_leagues

Entries = list[Any]

BASE: Entries = generate_leagues(0.01)
"""Thirteen leagues, with seasons that are easy to quarantine and names that need care."""

STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 39, 39.0, 2024, 2024.0, 1899, 1900, 2100, 2101),
    *(2**31 - 1, 2**31, 2**63, -(2**70), 10**400, 1e308, 0.5),
    *("", " ", "\n", "\x00", "a\x00b", "\ud800", "x\udfffy", "39", "true", "null"),
    *("2024-08-01", "2024-02-29", "2023-02-29", "2024-8-1", "2024-08-01T00:00:00", "0000-01-01"),
    *("0001-01-01", "9999-12-31", "10000-01-01", "2024-08-01\n", "٢٠٢٤-٠٨-٠١", "20240801"),
    *("e\u0301", "e\x07\u0301", "\x85\u3000", "\u202eabc", "ﬁ", "İstanbul", "ß", "日本"),
    *("England", "World", "Country-013", "GB-ENG", "UA", "TOOLONGCODE", "Premier League"),
    *("https://media-3.api-sports.io/x.png", "http://media-12.x/y", "media-1.x", "x" * 3000),
    *([], {}, [[]], [None], {"a": 1}, [1, "2", {"3": None}]),
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=8)
)
any_json = st.recursive(
    scalars | st.sampled_from(STRANGE),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("league", "country", "seasons", "id", "name", "year", "coverage"))
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
# Copied: a later change must not reach what other examples are made of.
strange = (st.sampled_from(STRANGE) | scalars | any_json).map(copy.deepcopy)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside."""
    found: list[tuple[Any, ...]] = []
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        found.append((*path, key))
        if isinstance(inner, dict | list):
            found += places(inner, (*path, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@st.composite
def mutated(draw: st.DrawFn, start: Entries = BASE, *, upto: int = 6) -> Entries:
    """A good response after at most `upto` changes."""
    entries = copy.deepcopy(start)
    if draw(st.integers(0, 3)) == 0:
        _rename_a_country(draw, entries)
    for _ in range(draw(st.integers(0, upto))):
        paths = places(entries)
        if not paths:
            break
        # Few of the many paths are heads of entries: without a choice of depth, all is coverage.
        depth = draw(st.integers(1, max(map(len, paths))))
        path = draw(st.sampled_from([p for p in paths if len(p) == depth] or paths))
        _change(draw, at(entries, path[:-1]), path[-1], entries)
    return entries


def _rename_a_country(draw: st.DrawFn, entries: Entries) -> None:
    """One name becomes another in every entry, mostly with the code kept."""
    old = draw(st.sampled_from(entries))["country"]["name"]
    new: dict[str, Any] = {"name": draw(st.sampled_from(("Renamed", "England", "Another")))}
    if draw(st.integers(0, 2)) == 0:
        new["code"] = draw(st.sampled_from(("XX", "UA", None)))
    for entry in entries:
        if entry["country"]["name"] == old:
            entry["country"].update(new)


def _change(draw: st.DrawFn, parent: Any, key: Any, entries: Entries) -> None:
    what = draw(st.sampled_from(("replace", "delete", "copy", "unknown", "borrow", "shuffle")))
    if what == "replace":
        parent[key] = draw(strange)
    elif what == "delete":
        del parent[key]
    elif what == "copy" and isinstance(parent, list):
        parent.insert(draw(st.integers(0, len(parent))), copy.deepcopy(parent[key]))
    elif what == "unknown" and isinstance(parent, dict):
        parent[draw(st.text(max_size=5))] = draw(strange)
    elif what == "borrow":  # a value of another entry: equal ids, names, codes and years
        parent[key] = copy.deepcopy(_elsewhere(draw, entries, key, parent[key]))
    elif isinstance(parent, list):
        parent[:] = draw(st.permutations(parent))


def _elsewhere(draw: st.DrawFn, entries: Entries, key: Any, own: Any) -> Any:
    same = [path for path in places(entries) if path[-1] == key]
    found = at(entries, draw(st.sampled_from(same))) if same else own
    return found if found is not entries else own


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """The bytes of a response after a few are changed, lost, repeated or put in."""
    found = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(found) - 1)))
        length = draw(st.integers(0, 40))
        piece = bytes(found[start : start + length])
        found[start : start + length] = draw(
            st.binary(max_size=6) | st.sampled_from((b"", piece * 2, piece[::-1], b'"', b"\\u0000"))
        )
    return bytes(found)
