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
_SWITCHED = {True: "on", False: "off", None: "unknown"}
_NOT_FLAGS = {"season_id"}

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
    """A row of the feed with its names; `before` of a relisted row is what was delisted."""

    id: int
    payload_id: int
    changed_at: datetime
    entity: str
    natural_key: str
    change: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    league: str
    country: str

    @property
    def facts(self) -> dict[str, Any]:
        """What every event of the change says."""
        league, _, year = self.natural_key.partition("/")
        known = {
            "change_id": self.id,
            "payload_id": self.payload_id,
            "provider_league_id": int(league),
            "league": self.league,
            "country": self.country,
        }
        return {**known, "year": int(year)} if year else known

    def differs(self) -> dict[str, tuple[Any, Any]]:
        """Column → (before, after) of what an existing row changed."""
        before, after = self.before or {}, self.after or {}
        return {c: (before[c], after[c]) for c in after if c in before and before[c] != after[c]}


def events_of(change: Change) -> Iterator[Event]:
    """The events of one change, in the order in which they are sent."""
    derive = {"leagues": _of_league, "seasons": _of_season, "season_coverage": _of_coverage}
    for kind, sentence, facts in derive[change.entity](change):
        suffix = f".{facts['flag']}" if kind == "coverage_switched" else ""
        where = f"{change.league} ({change.country})"
        text = sentence.format(where=where, **change.facts, **facts)
        identifier = f"c{change.id}.{kind}{suffix}"
        yield Event(identifier, kind, change.changed_at, text, {**change.facts, **facts})


_Derived = Iterator[tuple[str, str, dict[str, Any]]]
"""Type, sentence and further facts."""


def _of_league(change: Change) -> _Derived:
    if change.change != "changed":
        yield f"league_{change.change}", f"{{where}} was {change.change}", {}
    renamed = change.differs().get("name")
    if renamed:
        before, after = renamed
        sentence = "{before} ({country}) is now called {after}"
        yield "league_renamed", sentence, {"before": before, "after": after}


def _of_season(change: Change) -> _Derived:
    differs, after = change.differs(), change.after or {}
    dates: dict[str, Any] = {
        name: after[name] for name in ("start_date", "end_date") if name in after
    }
    if change.change == "added":
        yield "season_added", "{where}: season {year} was added", dates
    elif "year" in differs:  # renumbered
        return
    became_current = differs.get("is_current", (None, False))[1]
    if became_current or (change.change == "added" and after["is_current"]):
        yield "season_started", "{where}: season {year} has started", dates


def _of_coverage(change: Change) -> _Derived:
    for flag, (before, after) in sorted(change.differs().items()):
        if flag in _NOT_FLAGS:
            continue
        facts = {"flag": flag, "before": before, "after": after}
        sentence = f"{{where}}: {{flag}} of season {{year}} switched {_SWITCHED[after]}"
        if flag == "odds" and after is not None:
            yield f"odds_switched_{_SWITCHED[after]}", sentence, facts
        else:
            yield "coverage_switched", sentence, facts
