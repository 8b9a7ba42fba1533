"""Which league a user means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from difflib import get_close_matches

from oddins_pipeline.errors import NotInCatalogError
from oddins_pipeline.logs import sanitize

MAX_SHOWN = 8


def find_league(wanted: str, leagues: Iterable[tuple[int, str, str, str]]) -> int:
    """The id of the league with this id, name or slug, of (id, name, slug, country).

    Raises NotInCatalogError with the nearest ones.
    """
    text = wanted.casefold().strip()
    known: dict[str, dict[int, str]] = defaultdict(dict)
    for number, name, slug, country in leagues:
        for called in (str(number), name.casefold(), slug):
            known[called][number] = f"{number} {name} ({country})"
    found = known.get(text, {})
    if len(found) == 1:
        return next(iter(found))
    names = [] if text.isdecimal() else get_close_matches(text, known, n=MAX_SHOWN, cutoff=0.5)
    near = found or {number: one for name in names for number, one in known[name].items()}
    cause = f"{len(found)} leagues are called" if found else "the catalog has no league"
    shown = "; ".join(list(near.values())[:MAX_SHOWN])
    hint = f"; choose an id: {shown}" if shown else ""
    raise NotInCatalogError(f"{cause} {sanitize(wanted, 60)}{sanitize(hint)}")
