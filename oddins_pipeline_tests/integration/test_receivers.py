"""`oddins watch`, `receivers` and `deliveries`, as an operator uses them; secrets stay secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode

import psycopg
import pytest

from oddins_pipeline.cli.db import READABLE
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database import events, receivers
from oddins_pipeline.pipeline.deliveries import deliver_due, pending_count
from oddins_pipeline_tests.integration.test_notifications import TOKEN, Receiver
from oddins_pipeline_tests.integration.test_notifications import receiver as receiver  # noqa: PLC0414
from oddins_pipeline_tests.support.responses import ENTRIES, serve
from oddins_pipeline_tests.support.service import Outcome, Service

SECRET_PART = b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRET = f"whsec_{SECRET_PART}"


def add(service: Service, name: str, text: str, **environment: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "oddins_pipeline", "receivers", "add", name],
        env={**os.environ, **service.environment(), **environment},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def run(service: Service, *arguments: str) -> Outcome:
    return service.run(*arguments, **service.environment())


@pytest.fixture
def filled(service: Service) -> Service:
    serve(service, ENTRIES)
    assert service.sync().code == 0
    return service


def test_leagues_are_watched_by_id_name_or_slug_and_unknown_ones_are_refused(
    filled: Service,
) -> None:
    done = run(filled, "watch", "1", "league 2", "azerbaidjan-league-3", "--note", "odds")
    assert done.code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["1", "2", "3"]
    for unknown, near in (("Leage 4", "4 League 4 (Ukraine)"), ("999", "no league 999")):
        refused = run(filled, "watch", unknown)
        assert refused.code == 1
        assert near in refused.stderr
    assert run(filled, "unwatch", "2").stdout == "no longer watched: 2\n"
    assert run(filled, "unwatch", "2").code == 1
    listed = run(filled, "watch", "--list", "--json").stdout.splitlines()
    rows = [json.loads(line) for line in listed]
    assert [(row["provider_league_id"], row["note"]) for row in rows] == [(1, "odds"), (3, "odds")]


def test_a_receiver_is_added_tested_suspended_resumed_replayed_and_removed(
    filled: Service, receiver: Receiver
) -> None:
    added = add(filled, "shop", f"{receiver.url}\n{SECRET}\n")
    assert (added.code, added.stdout) == (0, "shop gets what happens from now on\n")
    again = add(filled, "shop", f"{receiver.url}\n")
    assert (again.code, "already" in again.stderr) == (1, True)
    assert run(filled, "receivers", "test", "shop").code == 0
    assert receiver.got[0]["type"] == "test"
    receiver.statuses = [410]
    tested = run(filled, "receivers", "test", "shop")
    assert (tested.code, "HTTP 410" in tested.stderr) == (1, True)
    filled.query("UPDATE webhook_receivers SET suspended_at = now(), last_error = 'x' RETURNING 1")
    check = run(filled, "status", "--check")
    assert check.code == 1
    assert "suspended: nothing is sent to the webhook receiver shop" in check.stdout
    assert run(filled, "receivers", "resume", "shop").code == 0
    assert run(filled, "status", "--check").code == 0
    listed = run(filled, "receivers", "list")
    assert listed.stdout.splitlines()[1].split() == ["shop", "ok", "http://127.0.0.1/***"]
    replayed = json.loads(run(filled, "deliveries", "--replay", "2", "--json").stdout)
    assert replayed["delivered_to_change"] == 1
    assert run(filled, "deliveries").stdout.splitlines()[1].split()[:3] == ["shop", "ok", "0"]
    assert run(filled, "deliveries", "--receiver", "other").code == 1
    assert run(filled, "receivers", "remove", "shop").stdout == "shop is removed\n"
    assert run(filled, "receivers", "remove", "shop").code == 1
    written = [added, again, tested, check, listed]
    for text in (one.stdout + one.stderr for one in written):
        assert TOKEN not in text
        assert SECRET_PART not in text


@pytest.mark.parametrize(
    ("text", "app_env"),
    [
        ("", "local"),
        ("ftp://x/secret-part-1", "local"),
        ("http://[secret-part-1", "local"),
        ("http://hooks.example.test/secret-part-1", "production"),
        ("https://hooks.example.test/secret-part-1\nnot-a-secret-part-1", "local"),
    ],
)
def test_a_wrong_address_is_refused_and_not_quoted(
    filled: Service, text: str, app_env: str
) -> None:
    done = add(filled, "shop", text, APP_ENV=app_env)
    assert done.code == 2
    assert "secret-part-1" not in done.stdout + done.stderr
    assert filled.query("SELECT count(*) FROM webhook_receivers") == [(0,)]


def test_a_receiver_that_was_inserted_broken_keeps_nothing_from_the_others(
    database: str, receiver: Receiver
) -> None:
    settings = Settings(_env_file=None)
    broken = {"url": "http://[x", "nothing": "x", "secret": receiver.url}
    with psycopg.connect(database, autocommit=True) as connection:
        for name, url in broken.items():
            receivers.add(connection, name, url, "whsec_!" if name == "secret" else None)
        receivers.add(connection, "good", receiver.url)
        events.add(connection, events.writing("sync_failed", "x", "leagues_seasons", {}))
        assert deliver_due(connection, settings) == 1
        states = {one.name: one.state for one in receivers.load(connection, settings)}
    assert states == {**dict.fromkeys(broken, "failing"), "good": "ok"}
    assert "webhook-signature" not in receiver.headers[0]


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "\x1b[31m", "ODDINS_WEBHOOK_URL"])
def test_a_name_that_could_be_mistaken_is_refused(service: Service, name: str) -> None:
    assert add(service, name, "https://hooks.example.test/x").code == 2


def test_the_receiver_of_the_settings_keeps_its_place_while_it_is_unset(database: str) -> None:
    """A second daemon without the variable, or an hour without it, loses nothing."""
    unset = Settings(_env_file=None)
    given = Settings(_env_file=None, webhook_url="http://127.0.0.1:1/x")
    with psycopg.connect(database, autocommit=True) as connection:
        assert [one.id for one in receivers.load(connection, given)] == [0]
        deliver_due(connection, given)
        event = events.writing("sync_failed", "x", "leagues_seasons", {})
        events.add(connection, event)
        deliver_due(connection, unset)
        assert [one.url for one in receivers.load(connection, unset)] == [None]
        (one,) = receivers.load(connection, given)
        assert [event.type for event in events.events_after(connection, one.events_cursor)] == [
            "sync_failed"
        ]
        receivers.change(connection, receivers.REMOVE, receivers.DEFAULT)
        deliver_due(connection, given)
        (one,) = receivers.load(connection, given)
        assert pending_count(connection, one) == 0


def test_a_made_secret_is_shown_once_and_a_reader_cannot_see_it(filled: Service) -> None:
    added = add(filled, "shop", "https://hooks.example.test/T0KEN-9f8e7d6c5b4a\n")
    assert "whsec_" in added.stdout
    assert "whsec_" not in run(filled, "receivers", "list", "--json").stdout
    assert not {"webhook_receivers", "webhook_events"} & {*READABLE}
    role = f"reader_{filled.query('SELECT current_database()')[0][0]}"
    with psycopg.connect(filled.database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        connection.execute(f"GRANT SELECT ON webhook_receivers TO {role}".encode())
        assert run(filled, "db", "grant-read", role).code == 0
        connection.execute(f"SET ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT url FROM webhook_receivers")
    with psycopg.connect(filled.database) as connection:
        assert "T0KEN" not in repr(receivers.load(connection, Settings(_env_file=None)))
