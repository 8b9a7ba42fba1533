"""The notification: one JSON message, without secrets, that never delays a sync."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import psycopg
import pytest

from oddins_pipeline.config.settings import AutomationSettings, Settings, load_settings
from oddins_pipeline.errors import UsageError
from oddins_pipeline.logs import redact
from oddins_pipeline.orchestration.sensors import build_sensors
from oddins_pipeline.pipeline import notifications as notify
from oddins_pipeline.pipeline.alerts import AlertState, send_alerts
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import KEY, Service

TOKEN = "T0KEN-9f8e7d6c5b4a"  # noqa: S105
WHEN = datetime(2026, 4, 2, 5, 17, tzinfo=timezone.utc)


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; responses with `statuses` in turn, the last one staying."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.statuses = [200]
        self.delay = 0.0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/services/{TOKEN}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
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


def settings_of(url: str | None) -> Settings:
    return Settings(_env_file=None, webhook_url=url)


def test_a_failure_is_one_message_with_its_sentence(receiver: Receiver) -> None:
    assert notify.notify_failure(
        settings_of(receiver.url), "the day's quota is used", code="quota", run_id="r1"
    )
    (body,) = receiver.got
    assert body["event"] == "sync_failed"
    assert body["message"] == "the day's quota is used"
    assert (body["code"], body["run_id"], body["app_env"]) == ("quota", "r1", "local")


def test_without_an_address_nothing_is_sent() -> None:
    assert notify.notify_failure(settings_of(None), "x", code="failed") is False


def test_a_busy_receiver_is_asked_again_and_gets_it_once_more(receiver: Receiver) -> None:
    receiver.statuses = [503, 429, 200]
    assert notify.notify_failure(settings_of(receiver.url), "x", code="failed")
    assert len(receiver.got) == 3


@pytest.mark.parametrize("status", [404, 302])
def test_a_refusing_receiver_is_not_asked_again(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [status]
    assert notify.notify_failure(settings_of(receiver.url), "x", code="failed") is False
    assert len(receiver.got) == 1
    assert [r.message for r in caplog.records] == ["the notification could not be sent"]
    assert f"HTTP {status}" in str(vars(caplog.records[0]))


def test_an_absent_or_silent_receiver_costs_seconds_and_one_line(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(notify, "ATTEMPT_TIMEOUT", 0.3)
    monkeypatch.setattr(notify, "TOTAL_TIMEOUT", 1.0)
    receiver.delay = 5
    for url in (receiver.url, f"http://127.0.0.1:1/{TOKEN}"):
        started = time.monotonic()
        assert notify.notify_failure(settings_of(url), "x", code="failed") is False
        assert time.monotonic() - started < 4
    ours = [r for r in caplog.records if r.name.startswith("oddins_pipeline")]
    assert len(ours) == 2
    assert all(TOKEN not in str(vars(record)) for record in ours)


def look(receiver: Receiver, reported: AlertState, hours: float, **facts: Any) -> AlertState:
    """A look some hours after the sync of WHEN."""
    known = {"last_synced_at": WHEN, "subscription": None, **facts}
    now = WHEN + timedelta(hours=hours)
    return send_alerts(settings_of(receiver.url), reported, now=now, **known)


def test_a_stale_catalog_is_reported_once_a_period(receiver: Receiver) -> None:
    reported = look(receiver, AlertState(), 25)
    assert receiver.got == []
    for hours in (27, 28, 200):
        reported = look(receiver, reported, hours)
    reported = look(receiver, reported, 201, last_synced_at=WHEN + timedelta(hours=200))
    look(receiver, reported, 227, last_synced_at=WHEN + timedelta(hours=200))
    assert [body["event"] for body in receiver.got] == ["catalog_stale"] * 2
    assert "2026-04-02 05:17 UTC" in receiver.got[0]["message"]


def test_a_notification_that_was_not_taken_is_sent_at_the_next_look(receiver: Receiver) -> None:
    receiver.statuses = [404, 200]
    reported = look(receiver, AlertState(), 27)
    assert reported == AlertState()
    assert look(receiver, reported, 28).stale_since == WHEN.isoformat()


def test_an_ending_subscription_is_reported_once_a_day(receiver: Receiver) -> None:
    reported = AlertState()
    for hours in (0, 1, 24):
        reported = look(receiver, reported, hours, subscription="it ends in 3 days")
    assert [body["event"] for body in receiver.got] == ["subscription_ending"] * 2


def test_the_catch_up_sensor_reports_of_a_stale_catalog_once(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(service, generate_leagues(0.02))
    assert service.sync().code == 0
    with psycopg.connect(service.database, autocommit=True) as connection:
        connection.execute(
            "UPDATE provider_sync_state SET last_synced_at = now() - interval '3 days'"
        )
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ODDINS_WEBHOOK_URL", receiver.url)
    (sensor,) = [
        s for s in build_sensors(AutomationSettings(_env_file=None)) if s.name == "catch_up_sensor"
    ]
    cursor = None
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            context = dg.build_sensor_context(instance, cursor=cursor)
            sensor(context)
            cursor = context.cursor
    assert [body["event"] for body in receiver.got] == ["catalog_stale"]


def test_the_catch_up_sensor_asks_once_a_day_when_the_subscription_ends(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    service.provider.subscription_ends = soon.isoformat()
    assert service.sync().code == 0
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    (sensor,) = [
        s for s in build_sensors(AutomationSettings(_env_file=None)) if s.name == "catch_up_sensor"
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        sensor(dg.build_sensor_context(instance))
        assert [path for _, path, _ in service.provider.requests] == ["/leagues"]
        monkeypatch.setenv("ODDINS_WEBHOOK_URL", receiver.url)
        cursor = None
        for _ in range(3):
            context = dg.build_sensor_context(instance, cursor=cursor)
            sensor(context)
            cursor = context.cursor
    assert [path for _, path, _ in service.provider.requests] == ["/leagues", "/status"]
    assert [body["event"] for body in receiver.got] == ["subscription_ending"]
    assert "ends in 3 days" in receiver.got[0]["message"]


def test_a_failed_and_a_refused_sync_send_one_message_each(
    service: Service, receiver: Receiver
) -> None:
    entries = generate_leagues(0.02)
    serve(service, entries, entries[:10])
    assert service.sync(ODDINS_WEBHOOK_URL=receiver.url).code == 0
    assert receiver.got == []
    refused = service.sync(ODDINS_WEBHOOK_URL=receiver.url)
    assert refused.code == 1
    service.provider.bodies = None
    service.provider.script("bad-key")
    failed = service.sync(ODDINS_WEBHOOK_URL=receiver.url)
    assert failed.code == 1
    events = [(body["event"], body["code"]) for body in receiver.got]
    assert events == [("response_rejected", "refused"), ("sync_failed", "rejected_key")]
    assert "of the listed leagues" in receiver.got[0]["message"]
    written = "".join(done.stdout + done.stderr for done in (refused, failed))
    assert TOKEN not in written
    assert KEY not in str(receiver.got)


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
