"""The notification: one JSON message, without secrets, that never delays a sync."""

from __future__ import annotations

import json
import logging
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import psycopg
import pytest
from standardwebhooks import Webhook

from oddins_pipeline.catalog.events import Event
from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline.config.settings import Settings, load_settings
from oddins_pipeline.database import receivers
from oddins_pipeline.database.receivers import of_settings
from oddins_pipeline.errors import UsageError
from oddins_pipeline.logs import redact
from oddins_pipeline.orchestration.sensors import build_sensors
from oddins_pipeline.pipeline import notifications
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import KEY, Service

TOKEN = "T0KEN-9f8e7d6c5b4a"  # noqa: S105
SECRET = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()
WHEN = datetime(2026, 4, 2, 5, 17, tzinfo=timezone.utc)


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; responses with `statuses` in turn, the last one staying."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.statuses = [200]
        self.delay = 0.0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/services/{TOKEN}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.server.headers.append(dict(self.headers))
        self.server.paths.append(self.path)
        time.sleep(self.server.delay)
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "0")
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def settings_of(url: str | None, **more: Any) -> Settings:
    return Settings(_env_file=None, webhook_url=url, **more)


def notify(url: str, text: str = "x", **more: Any) -> None:
    facts = {"code": "quota", "run_id": "r1", "entity": "leagues_seasons"}
    settings = settings_of(url, **more)
    failure = Event("s1", "sync_failed", WHEN, text, facts)
    notifications.notify(settings, of_settings(settings), [failure])


def test_a_failure_is_one_message_with_its_sentence(receiver: Receiver) -> None:
    notify(receiver.url, "the day's quota is used")
    (body,) = receiver.got
    assert (body["id"], body["type"], body["at"]) == ("s1", "sync_failed", WHEN.isoformat())
    assert body["text"] == "the day's quota is used"
    assert (body["facts"]["code"], body["facts"]["run_id"]) == ("quota", "r1")
    assert body["app_env"] == "local"
    assert "webhook-signature" not in receiver.headers[0]


def test_with_a_secret_the_message_is_signed(receiver: Receiver) -> None:
    notify(receiver.url, webhook_secret=SECRET)
    body = json.dumps(receiver.got[0], ensure_ascii=False)
    Webhook(SECRET).verify(body, receiver.headers[0])


def test_a_busy_receiver_is_asked_again_and_gets_it_once_more(receiver: Receiver) -> None:
    receiver.statuses = [503, 429, 200]
    notify(receiver.url)
    assert len(receiver.got) == 3


@pytest.mark.parametrize("status", [404, 302])
def test_a_refusing_receiver_is_not_asked_again(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [status]
    notify(receiver.url)
    assert len(receiver.got) == 1
    assert [r.message for r in caplog.records] == ["the notification could not be sent"]
    assert f"HTTP {status}" in str(vars(caplog.records[0]))


def test_an_absent_or_silent_receiver_costs_seconds_and_one_line(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(notifications, "ATTEMPT_TIMEOUT", 0.3)
    receiver.delay = 5
    for url in (receiver.url, f"http://127.0.0.1:1/{TOKEN}"):
        started = time.monotonic()
        notify(url)
        assert time.monotonic() - started < 4
    ours = [r for r in caplog.records if r.name.startswith("oddins_pipeline")]
    assert len(ours) == 2
    assert all(TOKEN not in str(vars(record)) for record in ours)


def add_receiver(service: Service, name: str, url: str) -> None:
    with psycopg.connect(service.database, autocommit=True) as connection:
        assert receivers.add(connection, name, url)


def tick(name: str, instance: dg.DagsterInstance, times: int = 1) -> None:
    found = {s.name: s for s in build_sensors(AutomationSettings(_env_file=None))}
    cursor = None
    for _ in range(times):
        context = dg.build_sensor_context(instance, cursor=cursor)
        found[name](context)
        cursor = context.cursor


def test_a_stale_catalog_is_told_once_and_fresh_again_once(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(service, generate_leagues(0.02))
    assert service.sync().code == 0
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ODDINS_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("ODDINS_AUTOMATION", "on")
    with dg.DagsterInstance.ephemeral() as instance:
        tick("webhook_delivery_sensor", instance)
        service.query(
            "UPDATE provider_sync_state SET last_synced_at = now() - interval '3 days' RETURNING 1"
        )
        tick("catch_up_sensor", instance, times=3)
        tick("webhook_delivery_sensor", instance, times=2)
        assert service.sync(ODDINS_AUTOMATION="on").code == 0
        tick("catch_up_sensor", instance)
        tick("webhook_delivery_sensor", instance, times=2)
    assert [body["type"] for body in receiver.got] == ["catalog_stale", "catalog_fresh"]
    assert receiver.got[0]["facts"]["entity"] == "leagues_seasons"


def test_the_catch_up_sensor_asks_once_a_day_when_the_subscription_ends(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    service.provider.subscription_ends = soon.isoformat()
    assert service.sync().code == 0
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        tick("catch_up_sensor", instance)
        assert [path for _, path, _ in service.provider.requests] == ["/leagues"]
        monkeypatch.setenv("ODDINS_WEBHOOK_URL", receiver.url)
        tick("webhook_delivery_sensor", instance)
        tick("catch_up_sensor", instance, times=3)
        tick("webhook_delivery_sensor", instance)
    assert [path for _, path, _ in service.provider.requests] == ["/leagues", "/status"]
    assert [body["type"] for body in receiver.got] == ["subscription_ending"]
    assert "ends in 3 days" in receiver.got[0]["text"]


@pytest.mark.parametrize("automation", ["off", "on"])
def test_a_failed_and_a_rejected_sync_are_told_once_each_by_command_or_sensor(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, automation: str
) -> None:
    variables = {"ODDINS_WEBHOOK_URL": receiver.url, "ODDINS_AUTOMATION": automation}
    for name, value in {**service.environment(), **variables}.items():
        monkeypatch.setenv(name, value)
    entries = generate_leagues(0.02)
    serve(service, entries, entries[:10])
    assert service.sync(**variables).code == 0
    add_receiver(service, "shop", f"{receiver.url}-shop")
    add_receiver(service, "suspended", f"{receiver.url}-suspended")
    service.query(
        "UPDATE webhook_receivers SET suspended_at = now() WHERE name = 'suspended' RETURNING 1"
    )
    with dg.DagsterInstance.ephemeral() as instance:
        if automation == "on":
            tick("webhook_delivery_sensor", instance)
        assert receiver.got == []
        rejected = service.sync(**variables)
        assert rejected.code == 1
        service.provider.bodies = None
        service.provider.script("bad-key")
        failed = service.sync(**variables)
        assert failed.code == 1
        if automation == "on":
            assert receiver.got == []
            tick("webhook_delivery_sensor", instance, times=2)
    ids = [f"s{number}" for (number,) in service.query("SELECT id FROM webhook_events ORDER BY id")]
    expected = [("response_rejected", "refused", ids[0]), ("sync_failed", "rejected_key", ids[1])]
    sent = [(body["type"], body["facts"]["code"], body["id"]) for body in receiver.got]
    for path in (TOKEN, f"{TOKEN}-shop", f"{TOKEN}-suspended"):
        to_it = [one for one, to in zip(sent, receiver.paths, strict=True) if to.endswith(path)]
        assert to_it == ([] if "suspended" in path else expected)
    assert "of the listed leagues" in receiver.got[0]["text"]
    written = "".join(done.stdout + done.stderr for done in (rejected, failed))
    assert TOKEN not in written
    assert KEY not in str(receiver.got)


def test_a_failure_that_cannot_be_recorded_is_told_all_the_same(
    service: Service, receiver: Receiver
) -> None:
    assert service.sync().code == 0
    unreachable = service.database.replace("/test_", "/no_such_test_")
    done = service.sync(
        DATABASE_URL=unreachable, ODDINS_WEBHOOK_URL=receiver.url, ODDINS_AUTOMATION="on"
    )
    assert done.code == 1
    assert [body["type"] for body in receiver.got] == ["sync_failed"]


def test_a_dead_receiver_changes_no_exit_code_and_no_record(service: Service) -> None:
    service.provider.script("bad-key")
    done = service.sync(ODDINS_WEBHOOK_URL=f"http://127.0.0.1:1/{TOKEN}")
    assert done.code == 1
    assert "the notification could not be sent" in done.stderr
    assert TOKEN not in done.stderr
    assert service.query("SELECT count(*) FROM provider_sync_state WHERE last_error IS NOT NULL")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://x/y", "is not an address"),
        ("hooks.example.test", "is not an address"),
        ("http://hooks.example.test/secret-part", "uses plain http"),
    ],
)
def test_a_wrong_address_is_refused_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, url: str, complaint: str
) -> None:
    monkeypatch.setenv("ODDINS_WEBHOOK_URL", url)
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(UsageError, match=complaint) as caught:
        load_settings()
    assert url not in str(caught.value)


def test_the_address_is_hidden_wherever_it_might_be_quoted() -> None:
    from oddins_pipeline.logs import register_secrets

    settings = settings_of(f"https://hooks.example.test/services/{TOKEN}")
    register_secrets(settings.secrets)
    assert TOKEN not in redact(f"POST https://hooks.example.test/services/{TOKEN} failed")
    assert TOKEN not in repr(settings)
