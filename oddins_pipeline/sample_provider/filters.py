"""The parameters of `/leagues`."""

from __future__ import annotations

import re
from collections.abc import Callable

from oddins_pipeline.sample_provider.generator import Entry

Query = dict[str, str]

_FILTERS: dict[str, Callable[[Entry, str], bool]] = {
    "id": lambda entry, value: str(entry["league"]["id"]) == value,
    "name": lambda entry, value: entry["league"]["name"] == value,
    "country": lambda entry, value: entry["country"]["name"].lower() == value.lower(),
    "code": lambda entry, value: entry["country"]["code"] == value,
    "type": lambda entry, value: entry["league"]["type"].lower() == value,
    "search": lambda entry, value: value.lower() in entry["league"]["name"].lower(),
}


_VALID = {
    "id": r"\d+",
    "season": r"\d{4}",
    "name": r".+",
    "country": r".+",
    "code": r".{2,6}",
    "type": r"league|cup",
    "current": r"true|false",
    "search": r".{3,}",
}


def wrong_parameter(query: Query) -> str | None:
    """The parameter that the provider would reject; None when all are right."""
    for name, value in query.items():
        if name not in _VALID or not re.fullmatch(_VALID[name], value):
            return name
    return None


def filtered(entries: list[Entry], query: Query) -> list[Entry]:
    """The entries that match, each with the seasons that do."""
    found = []
    for entry in entries:
        if not all(test(entry, query[name]) for name, test in _FILTERS.items() if name in query):
            continue
        seasons = entry["seasons"]
        if "season" in query:
            seasons = [one for one in seasons if str(one["year"]) == query["season"]]
        if query.get("current") == "true":
            seasons = [one for one in seasons if one["current"]] or seasons[-1:]
        if seasons:
            found.append({**entry, "seasons": seasons})
    return found
