"""The most important changes of a publication, as a Markdown table for the Dagster UI."""

import re
from string import punctuation
from typing import Any

import dagster as dg

from oddins_pipeline.database.changes import describe_change
from oddins_pipeline.logs import sanitize

SHOWN = 20
SCAN_LIMIT = 500

_ORDER = {"delisted": 0, "relisted": 1, "added": 2, "changed": 3}
_IMPORTANT = ("odds", "is_current", "name", "country_id", "fixtures", "standings")
"""Columns whose changes are listed first."""


def markdown(found: list[dict[str, Any]], *, all_of_them: int) -> dg.MarkdownMetadataValue:
    """A table of `SHOWN` changes; `all_of_them` is how many there were."""
    if not found:
        return dg.MetadataValue.md("nothing changed")
    if found[0]["change"] == "loaded":
        return dg.MetadataValue.md("initial load; changes are recorded from here on")
    lines = ["| what | where | how |", "| --- | --- | --- |"]
    for change in sorted(found, key=_rank)[:SHOWN]:
        where = f"{change['league']} ({change['country']})" if change["league"] else ""
        cells = (change["natural_key"], where, describe_change(change))
        lines.append("| " + " | ".join(escaped(cell) for cell in cells) + " |")
    if all_of_them > SHOWN:
        lines.append(f"\n{all_of_them - SHOWN:,} more: `oddins changes`")
    return dg.MetadataValue.md("\n".join(lines))


def escaped(text: str) -> str:
    """Provider's text as text: no Markdown, no HTML, no link, no line break."""
    return re.sub(f"([{re.escape(punctuation)}])", r"\\\1", sanitize(text, 120))


def _rank(change: dict[str, Any]) -> tuple[int, int, int]:
    columns = change["after"] or {} if change["change"] == "changed" else {}
    place = min((i for i, c in enumerate(_IMPORTANT) if c in columns), default=len(_IMPORTANT))
    return (_ORDER.get(change["change"], 9), place, change["id"])
