"""Which league a user means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from oddins_pipeline.errors import OddinsError
from oddins_pipeline.logs import sanitize

MAX_SHOWN = 8


@dataclass(frozen=True)
class KnownLeague:
    """A league of the catalog; `id` is the provider's."""

    id: int
    name: str
    slug: str
    country: str

    def is_called(self, names: Sequence[str]) -> bool:
        """Whether one of these (in lower case) is its name or slug."""
        return self.name.casefold() in names or self.slug in names


def find_league(wanted: str, leagues: Sequence[KnownLeague]) -> KnownLeague:
    """The league of this id, name or slug. Raises OddinsError with the nearest ones."""
    if wanted.isdecimal():
        near, found = [], [one for one in leagues if one.id == int(wanted)]
    else:
        text = wanted.casefold().strip()
        found = [one for one in leagues if one.is_called([text])]
        names = {name for one in leagues for name in (one.name.casefold(), one.slug)}
        close = get_close_matches(text, names, n=MAX_SHOWN, cutoff=0.5)
        near = [one for one in leagues if one.is_called(close)]
    if len(found) == 1:
        return found[0]
    shown = [f"{one.id} {one.name} ({one.country})" for one in (found or near)[:MAX_SHOWN]]
    cause = f"{len(found)} leagues are called" if found else "the catalog has no league"
    hint = f"; choose an id: {'; '.join(shown)}" if shown else ""
    raise OddinsError(sanitize(f"{cause} {wanted}{hint}"))
