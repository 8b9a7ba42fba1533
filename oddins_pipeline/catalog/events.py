"""The events that receivers get, derived from rows of the change feed: pure functions.

A first load, a replay and a renumbering yield no event; the query that reads the feed leaves out
replays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from oddins_pipeline.logs import sanitize

# Neither Slack's nor Mattermost's mentions and links can be made of a provider's text.
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "@": "＠"})

FAILED, REJECTED, RECOVERED = "sync_failed", "response_rejected", "sync_recovered"
STALE, FRESH = "catalog_stale", "catalog_fresh"
SUBSCRIPTION_ENDING, QUARANTINED = "subscription_ending", "items_quarantined"


@dataclass(frozen=True)
class Event:
    """One message. `id` is the same in every retry and replay: receivers drop duplicates by it."""

    id: str
    type: str
    at: datetime
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def body(self, **shared: Any) -> bytes:
        """The JSON that is sent; `shared` are fields of every message."""
        message = {
            "id": self.id,
            "type": self.type,
            "at": self.at.isoformat(),
            "text": sanitize(self.text).translate(_HARMLESS),
            "facts": {k: sanitize(v) if isinstance(v, str) else v for k, v in self.facts.items()},
            **shared,
        }
        return json.dumps(message, default=str, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Change:
    """A row of the feed; `facts` are what every event of it says, `before` of a relisted row is
    what was delisted.
    """

    id: int
    changed_at: datetime
    entity: str
    change: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    facts: dict[str, Any]

    def differs(self) -> dict[str, tuple[Any, Any]]:
        """Column → (before, after) of what an existing row changed."""
        before, after = self.before or {}, self.after or {}
        return {c: (before[c], after[c]) for c in after if c in before and before[c] != after[c]}


def events_of(change: Change) -> Iterator[Event]:
    """The events of one change, in the order in which they are sent."""
    derive = {"leagues": _of_league, "seasons": _of_season, "season_coverage": _of_coverage}
    for kind, sentence, more in derive[change.entity](change):
        flag = f".{more['flag']}" if kind == "coverage_switched" else ""
        facts = {**change.facts, **more}
        where = "{league} ({country})".format_map(facts)
        text = sentence.format_map({**facts, "where": where})
        yield Event(f"c{change.id}.{kind}{flag}", kind, change.changed_at, text, facts)


_Derived = Iterator[tuple[str, str, dict[str, Any]]]
"""Type, sentence and further facts."""


def _of_league(change: Change) -> _Derived:
    if change.change != "changed":
        yield f"league_{change.change}", f"{{where}} was {change.change}", {}
    if renamed := change.differs().get("name"):
        facts = dict(zip(("before", "after"), renamed, strict=True))
        yield "league_renamed", "{before} ({country}) is now called {after}", facts


def _of_season(change: Change) -> _Derived:
    differs, after, added = change.differs(), change.after or {}, change.change == "added"
    if "year" in differs:  # renumbered
        return
    dates: dict[str, Any] = {k: after[k] for k in ("start_date", "end_date") if k in after}
    if added:
        yield "season_added", "{where}: season {year} was added", dates
    _, became_current = differs.get("is_current", (None, added and after["is_current"]))
    if became_current:
        yield "season_started", "{where}: season {year} has started", dates


def _of_coverage(change: Change) -> _Derived:
    for flag, (before, after) in sorted(change.differs().items()):
        if flag == "season_id":
            continue
        switched = {True: "on", False: "off", None: "unknown"}[after]
        known_odds = flag == "odds" and after is not None
        kind = f"odds_switched_{switched}" if known_odds else "coverage_switched"
        sentence = f"{{where}}: {flag} of season {{year}} switched {switched}"
        yield kind, sentence, {"flag": flag, "before": before, "after": after}
