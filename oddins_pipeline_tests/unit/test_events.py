"""Which events derive from a change of the feed: nothing but the change itself is looked at."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from oddins_pipeline.catalog.events import Change, Event, events_of

NOW = datetime(2026, 4, 2, 5, 17, tzinfo=timezone.utc)
SEASON = {"year": 2026, "start_date": "2026-08-01", "end_date": None, "is_current": True}


def change(entity: str, kind: str, before: Any = None, after: Any = None) -> Change:
    facts: dict[str, Any] = {"change_id": 7, "provider_league_id": 39}
    facts |= {"league": "Premier League", "country": "England"}
    if entity != "leagues":
        facts["year"] = 2026
    return Change(7, NOW, entity, kind, before, after, facts)


@pytest.mark.parametrize(
    ("found", "ids"),
    [
        (change("leagues", "added", after={"name": "X"}), ["c7.league_added"]),
        (change("leagues", "delisted", before={"name": "X"}), ["c7.league_delisted"]),
        (change("leagues", "relisted", after={"name": "X"}), ["c7.league_relisted"]),
        (
            change("leagues", "relisted", {"name": "X"}, {"name": "Y"}),
            ["c7.league_relisted", "c7.league_renamed"],
        ),
        (change("leagues", "changed", {"name": "X"}, {"name": "Y"}), ["c7.league_renamed"]),
        (change("leagues", "changed", {"country_id": 1}, {"country_id": 2}), []),
        (change("seasons", "added", after=SEASON), ["c7.season_added", "c7.season_started"]),
        (change("seasons", "added", after={**SEASON, "is_current": False}), ["c7.season_added"]),
        (
            change("seasons", "changed", {"is_current": False}, {"is_current": True}),
            ["c7.season_started"],
        ),
        (change("seasons", "changed", {"is_current": True}, {"is_current": False}), []),
        (change("seasons", "changed", {"start_date": None}, {"start_date": "2026-08-01"}), []),
        (
            change(
                "seasons",
                "changed",
                {"year": 2025, "is_current": False},
                {"year": 2026, "is_current": True},
            ),
            [],
        ),
        (change("seasons", "delisted", before=SEASON), []),
        (change("seasons", "relisted", SEASON, SEASON), []),
        (
            change("seasons", "relisted", {**SEASON, "is_current": False}, SEASON),
            ["c7.season_started"],
        ),
        (
            change(
                "season_coverage",
                "changed",
                {"odds": False, "standings": True, "injuries": None},
                {"odds": True, "standings": False, "injuries": True},
            ),
            [
                "c7.coverage_switched.injuries",
                "c7.odds_switched_on",
                "c7.coverage_switched.standings",
            ],
        ),
        (
            change("season_coverage", "changed", {"odds": True}, {"odds": False}),
            ["c7.odds_switched_off"],
        ),
        (
            change("season_coverage", "changed", {"odds": True}, {"odds": None}),
            ["c7.coverage_switched.odds"],
        ),
        (change("season_coverage", "added", after={"season_id": 5, "odds": True}), []),
    ],
)
def test_a_change_yields_these_events_under_ids_that_never_differ(
    found: Change, ids: list[str]
) -> None:
    assert [event.id for event in events_of(found)] == ids
    assert all(event.at == NOW and event.facts["change_id"] == 7 for event in events_of(found))


def test_a_message_has_a_text_for_people_and_facts_for_programs() -> None:
    (event,) = events_of(change("season_coverage", "changed", {"odds": False}, {"odds": True}))
    body = json.loads(event.body(app_env="local"))
    assert body.keys() == {"id", "type", "at", "text", "facts", "app_env"}
    assert body["text"] == "Premier League (England): odds of season 2026 switched on"
    facts = {"provider_league_id": 39, "year": 2026, "flag": "odds", "before": False, "after": True}
    assert body["facts"].items() >= facts.items()


def test_a_providers_name_can_neither_mention_a_channel_nor_break_the_text() -> None:
    bad = Event("c1.x", "x", NOW, "<!channel> @all {where}\nsecond\x00 line")
    text = json.loads(bad.body())["text"]
    assert text == "‹!channel› ＠all {where} second line"
