"""Delivery: at least once, in order, whatever the receiver does and whenever the sender dies."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from oddins_pipeline.catalog.entities import LEAGUES, SyncKey
from oddins_pipeline.catalog.events import events_of
from oddins_pipeline.database import events, receivers
from oddins_pipeline.errors import NothingToPublishError, ResponseRejectedError
from oddins_pipeline.pipeline import deliveries
from oddins_pipeline.pipeline.notifications import signature
from oddins_pipeline_tests.support.core import Core, core_on
from oddins_pipeline_tests.support.histories import History
from oddins_pipeline_tests.support.receiver import SECRET, ReceiverProcess
from oddins_pipeline_tests.support.responses import ENTRIES, copied

LENIENT = {"min_league_share": 90, "min_season_share": 90, "max_quarantine_share": 50}
Expected = set[tuple[Any, ...]]

# What a reader of the tables sees, in place of the feed.
_LEAGUES = "SELECT provider_league_id, name, delisted_at IS NULL FROM leagues"
_SEASONS = """
SELECT l.provider_league_id, s.year, s.is_current,
    to_jsonb(c) - '{season_id,created_at,updated_at}'::text[]
FROM seasons s JOIN leagues l ON l.id = s.league_id JOIN season_coverage c ON c.season_id = s.id
"""


class Tables:
    """The tables at one moment."""

    def __init__(self, core: Core) -> None:
        self.leagues = {key: (name, listed) for key, name, listed in core.query(_LEAGUES)}
        self.seasons = {(n, y): (current, flags) for n, y, current, flags in core.query(_SEASONS)}


def happened(old: Tables, new: Tables) -> Expected:
    """(type, league, …) of every event that the difference of two moments makes."""
    result: Expected = set()
    for number, (name, listed) in new.leagues.items():
        if number not in old.leagues:
            result.add(("league_added", number))
            continue
        old_name, was_listed = old.leagues[number]
        if listed != was_listed:
            result.add(("league_relisted" if listed else "league_delisted", number))
        if name != old_name:
            result.add(("league_renamed", number))
    for key, (current, flags) in new.seasons.items():
        was_current, old_flags = old.seasons.get(key, (False, flags))
        if key not in old.seasons:
            result.add(("season_added", *key))
        if current and not was_current:
            result.add(("season_started", *key))
        result |= {
            switched(key, flag, flags[flag]) for flag in flags if flags[flag] != old_flags[flag]
        }
    return result


def switched(key: tuple[int, int], flag: str, value: bool | None) -> tuple[Any, ...]:
    if flag == "odds" and value is not None:
        return (f"odds_switched_{'on' if value else 'off'}", *key)
    return ("coverage_switched", *key, flag)


def events_since(core: Core, cursor: int) -> Expected:
    result: Expected = set()
    for change in events.changes_after(core.connection, cursor):
        for event in events_of(change):
            facts = event.facts
            flag = [facts["flag"]] if event.type == "coverage_switched" else []
            place = [facts["year"]] if "year" in facts else []
            result.add((event.type, facts["provider_league_id"], *place, *flag))
    return result


def live(core: Core, life: History) -> bool:
    """One step; True when it only repaired or replayed what was published before."""
    step = life.chance.random()
    if step < 0.15:
        try:
            core.replay()
        except NothingToPublishError:
            core.sync(life.full(), force=True)
            return False
        return True
    if step < 0.3:
        core.sync(*life.partial())
        return False
    life.pass_time(life.chance.randrange(8))
    try:
        core.sync(life.full())
    except ResponseRejectedError:
        core.sync(life.full(), force=True)
    return False


@pytest.mark.parametrize("seed", range(3))
def test_the_events_are_what_a_reader_of_the_tables_sees_happen(database: str, seed: int) -> None:
    """Four years of a catalog, in 48 monthly steps of any kind."""
    life, seen = History(seed), 0
    with core_on(database, **LENIENT) as core:
        core.sync(life.full())
        assert events_since(core, 0) == set()
        for _ in range(48):
            head = events.feed_head(core.connection)
            before = Tables(core)
            replayed = live(core, life)
            result = events_since(core, head)
            assert result == (set() if replayed else happened(before, Tables(core)))
            seen += len(result)
    assert seen > 100


def test_a_replay_that_undoes_an_edit_is_no_event(database: str) -> None:
    with core_on(database) as core:
        core.sync(ENTRIES)
        core.execute("UPDATE leagues SET name = 'Edited' WHERE provider_league_id = 1")
        core.replay()
        assert core.query("SELECT name FROM leagues WHERE provider_league_id = 1") == [
            ("League 1",)
        ]
        assert events_since(core, 0) == set()


def test_only_watched_leagues_count_also_one_that_is_not_there_yet(database: str) -> None:
    with core_on(database) as core:
        core.sync(ENTRIES)
        core.execute("INSERT INTO watched_leagues (provider_league_id) VALUES (2), (77)")
        later = copied(ENTRIES)
        for entry in later:
            entry["league"]["name"] += " renamed"
        later.append({**copied(ENTRIES[:1])[0], "league": {**ENTRIES[0]["league"], "id": 77}})
        core.sync(later)
        result = events_since(core, 0)
        assert {one[1] for one in result} == {2, 77}
        core.execute("DELETE FROM watched_leagues")
        assert {one[1] for one in events_since(core, 0)} == {1, 2, 3, 4, 5, 6, 77}


def outbox(core: Core) -> list[tuple[Any, ...]]:
    return core.query("SELECT type, entity FROM webhook_events ORDER BY id")


def test_staleness_and_recovery_are_told_once_each(database: str) -> None:
    with core_on(database) as core:
        core.sync(ENTRIES)
        assert outbox(core) == []
        for _ in range(2):
            stale = events.writing(
                "catalog_stale", "x", LEAGUES.name, {}, after=["catalog_fresh"], first=True
            )
            events.add(core.connection, stale)
        for kind in ("sync_failed", "response_rejected"):
            events.add(core.connection, events.writing(kind, "x", "leagues_seasons", {}))
        core.replay()  # says nothing of the provider
        assert len(outbox(core)) == 3
        for _ in range(2):
            core.sync(ENTRIES)  # unchanged
        partial = SyncKey(LEAGUES, full=False).state
        events.add(core.connection, events.writing("sync_failed", "x", partial, {}))
        core.sync([*copied(ENTRIES[:5]), *copied(ENTRIES[5:])][::-1], force=True)
        assert outbox(core) == [
            ("catalog_stale", "leagues_seasons"),
            ("sync_failed", "leagues_seasons"),
            ("response_rejected", "leagues_seasons"),
            ("sync_recovered", "leagues_seasons"),
            ("catalog_fresh", "leagues_seasons"),
            ("sync_failed", partial),
            ("sync_recovered", partial),
        ]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ReceiverProcess]:
    made = ReceiverProcess(tmp_path / "accepted")
    made.start()
    yield made
    made.kill()


def deliver_through_kills(database: str, receiver: ReceiverProcess, *, rounds: int) -> None:
    """A history is delivered by two senders, as by mistake, which are killed in the middle of their
    work; so is the receiver now and then.
    """
    chance, life = random.Random(rounds), History(rounds)
    with core_on(database, **LENIENT) as core:
        core.sync(life.full())
        begin = events.feed_head(core.connection)
        assert receivers.add(core.connection, "shop", receiver.url, SECRET)
        for number in range(rounds):
            while pending(core) < 20:
                live(core, life)
            with senders(database, 2):
                if number % 3 == 0:
                    receiver.kill()
                    receiver.start()
                wait_for_deliveries(core, receiver, chance.randrange(1, 8))
                time.sleep(chance.uniform(0, 0.05))
        with senders(database, 1):
            wait_for_deliveries(core, receiver, 100_000)
        expected = [
            event.id
            for change in events.changes_after(core.connection, begin)
            for event in events_of(change)
        ]
        outbox = [event.id for event in events.events_after(core.connection, 0)]
    accepted = receiver.accepted()
    first = list(dict.fromkeys(accepted))
    figures = f"{2 * rounds} kills: {len(first)} events, {len(accepted) - len(first)} duplicates"
    logging.getLogger(__name__).warning(figures)
    assert [one for one in first if one.startswith("c")] == expected
    assert [one for one in first if one.startswith("s")] == outbox
    assert len(expected) > 20


@contextmanager
def senders(database: str, count: int) -> Iterator[None]:
    """Processes that deliver, and are killed at the end."""
    command = [sys.executable, "-m", "oddins_pipeline_tests.support.sender"]
    variables = {**os.environ, "DATABASE_URL": database}
    started = [subprocess.Popen(command, env=variables) for _ in range(count)]
    try:
        yield
        assert [one.poll() for one in started] == [None] * count
    finally:
        for one in started:
            one.kill()
            one.wait()


def pending(core: Core) -> int:
    (state,) = receivers.load(core.connection, core.session.workspace.settings)
    return deliveries.pending_count(core.connection, state)


def wait_for_deliveries(core: Core, receiver: ReceiverProcess, count: int) -> None:
    """Until so many more are accepted, or all; a minute without any is too long."""
    begun = seen = len(receiver.accepted())
    deadline = time.monotonic() + 60
    while seen < begun + count and pending(core):
        now = len(receiver.accepted())
        if now > seen:
            seen, deadline = now, time.monotonic() + 60
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_event_arrives_once_and_in_order_through_kills_of_both_ends(
    database: str, receiver: ReceiverProcess
) -> None:
    deliver_through_kills(database, receiver, rounds=3)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_no_event_is_lost_over_200_kills(database: str, receiver: ReceiverProcess) -> None:
    deliver_through_kills(database, receiver, rounds=100)


def test_a_changed_body_does_not_verify() -> None:
    headers = signature(SECRET, "c1.x", b'{"id":"c1.x"}')
    assert Webhook(SECRET).verify(b'{"id":"c1.x"}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b'{"id":"c1.y"}', headers)
    assert signature(None, "c1.x", b"{}") == {}


@pytest.mark.parametrize(
    ("failing", "gone", "pause"),
    [
        (None, False, "30 s"),
        ("4 s", False, "30 s"),
        ("1 h", False, "1 h"),
        ("71 h", False, "6 h"),
        ("72 h", False, None),
        (None, True, None),
    ],
)
def test_pauses_grow_for_three_days_then_the_receiver_is_suspended(
    database: str, failing: str | None, gone: bool, pause: str | None
) -> None:
    with core_on(database) as core:
        settings = core.session.workspace.settings
        receivers.add(core.connection, "shop", "https://hooks.example.test/x")
        core.execute("UPDATE webhook_receivers SET failing_since = now() - %s::interval", failing)
        (shop,) = receivers.load(core.connection, settings)
        assert receivers.fail(core.connection, shop, "HTTP 500", gone=gone) is (pause is None)
        assert not receivers.fail(core.connection, replace(shop, cursor=7), "x", gone=True)
        (shop,) = receivers.load(core.connection, settings)
        assert (shop.is_due, shop.last_error) == (False, "HTTP 500")
        pauses = "SELECT abs(extract(epoch FROM next_attempt_at - now() - %s::interval)) < 10"
        assert core.query(pauses + " FROM webhook_receivers", pause or "30 s")
        receivers.change(core.connection, receivers.RESUME, "shop")
        (shop,) = receivers.load(core.connection, settings)
        assert (shop.is_due, shop.state) == (True, "ok")
