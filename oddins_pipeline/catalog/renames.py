"""Which countries a full response renames in place: see docs/provider.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from oddins_pipeline.catalog.rows import Batch


class StoredCountry(NamedTuple):
    """A country of the tables: its code and the provider ids of its leagues."""

    code: str | None
    leagues: frozenset[int]


def renames(stored: Mapping[str, StoredCountry], batch: Batch) -> dict[str, str]:
    """New name → stored name.

    A stored name is renamed when the response lacks it, one unknown name stands for all those of
    its leagues that the response lists, both codes are equal and not null, and no other stored name
    would become the same.
    """
    codes = {row.name: row.code for row in batch.countries}
    country_of = {row.provider_league_id: row.country_name for row in batch.leagues}
    found: list[tuple[str, str]] = []
    for old, country in stored.items():
        if old in codes or country.code is None:
            continue
        names = {country_of[league] for league in country.leagues if league in country_of}
        new = names.pop() if len(names) == 1 else None
        if new is not None and new not in stored and codes[new] == country.code:
            found.append((new, old))
    times = Counter(new for new, _ in found)
    return {new: old for new, old in found if times[new] == 1}
