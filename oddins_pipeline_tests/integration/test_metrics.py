"""Metrics and alerts: each failure of the runbook fires the alert that its entry names, no other,
and it clears again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.lock import lock_id
from oddins_pipeline.pipeline.metrics import METRICS, CatalogCollector
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import KEY, Service

PROJECT = Path(__file__).parents[2]
RULES = PROJECT / "deploy/monitoring/alerts.yml"
RUNBOOK = (PROJECT / "docs/operation/runbook.md").read_text("utf-8")
PAGE = (PROJECT / "docs/operation/monitoring.md").read_text("utf-8")
PROMTOOL = shutil.which("promtool")
DASHBOARD = json.loads(RULES.with_name("dashboard.json").read_text("utf-8"))
EXPORTED = {f"oddins_{name}" for name in METRICS}
SAMPLE = re.compile(r"^(oddins_\w+)(\{.*\})? (\S+)$", re.MULTILINE)

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="install the package prometheus")


def collected(connection: psycopg.Connection[Any]) -> str:
    registry = CollectorRegistry()
    settings = Settings(_env_file=None)
    registry.register(CatalogCollector(lambda: nullcontext(connection), settings))
    return generate_latest(registry).decode()


def scrape(service: Service) -> str:
    with psycopg.connect(service.database, autocommit=True) as connection:
        return collected(connection)


def firing(metrics: str, directory: Path) -> set[str]:
    """The alerts that fire when these samples stay as they are for half an hour."""
    now, later = time.time(), 1800
    series = []
    for name, labels, value in SAMPLE.findall(metrics):
        number = float(value)
        if name.endswith("timestamp_seconds"):  # promtool's clock begins at 0
            number += later - now
        series.append({"series": f"{name}{labels}", "values": f"{number:f}x60"})
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "30m", "exp_samples": []}
        ],
    }
    rules = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    path = directory / "test.yml"
    path.write_text(yaml.safe_dump(rules), "utf-8")
    command = [str(PROMTOOL), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "got:" in said, said
    return set(re.findall(r'alertname="(\w+)"', said))


@needs_promtool
def test_failures_played_for_real_fire_the_alert_that_the_runbook_names(
    service: Service, tmp_path: Path
) -> None:
    entries = generate_leagues(0.02)
    odd = [*entries[1:], {**entries[0], "league": {**entries[0]["league"], "name": None}}]
    steps: list[tuple[Callable[[], Any], set[str]]] = [
        (lambda: serve(service, entries), set()),
        (lambda: service.provider.script("bad-key"), {"OddinsKeyRejected"}),
        (lambda: serve(service, entries[:5]), {"OddinsResponseRejected"}),
        (lambda: service.provider.script("lapsed"), {"OddinsSubscriptionEnding"}),
        (lambda: serve(service, odd), {"OddinsItemsQuarantined"}),
        (lambda: serve(service, entries), set()),
    ]
    for prepare, expected in steps:
        service.provider.bodies = None
        prepare()
        service.sync("--force" if expected == {"OddinsItemsQuarantined"} else "--json")
        assert firing(scrape(service), tmp_path) == expected


FAILED = """
WITH stored AS (INSERT INTO webhook_events (type, entity, text, facts)
    VALUES ('sync_failed', 'leagues_seasons', 'x', '{{"code": "{}"}}'))
UPDATE provider_sync_state SET last_error = 'x', last_error_at = clock_timestamp() + interval '1 s'
"""
LOST = (
    "UPDATE dagster.runs SET status = 'STARTED', start_time = extract(epoch FROM now()) + 7200,"
    " create_timestamp = create_timestamp - interval '10 min'"
)
STATES = {
    **{
        FAILED.format(code): alert
        for code, alert in (
            ("suspended", "KeyRejected"),
            ("quota", "QuotaLow"),
            ("subscription", "SubscriptionEnding"),
            ("database", "DatabaseRefuses"),
            ("transport_fault", "SyncFailing"),
        )
    },
    "UPDATE provider_sync_state SET last_synced_at = now() - interval '3 days'": "CatalogStale",
    "INSERT INTO provider_subscription (ends_at, active) VALUES (now() + '3 days', true)": (
        "SubscriptionEnding"
    ),
    "INSERT INTO webhook_receivers (name, cursor, events_cursor, failing_since, suspended_at)"
    " VALUES ('shop', 0, 0, now(), now())": "ReceiverSuspended",
    "INSERT INTO webhook_receivers (name, cursor, events_cursor, failing_since)"
    " VALUES ('shop', 0, 0, now())": "DeliveriesFailing",
    "INSERT INTO provider_requests (path, day_limit, day_remaining) VALUES ('/leagues', 100, 9)": (
        "QuotaLow"
    ),
    "UPDATE dagster.daemon_heartbeats SET timestamp = timestamp - interval '1 hour'": "DaemonDown",
    LOST: "RunOrphaned",
    f"SELECT pg_advisory_lock({lock_id()})": "LockHeld",
}
BEAT = """
INSERT INTO dagster.daemon_heartbeats (daemon_type, daemon_id, timestamp)
VALUES ('SENSOR', 'x', now() AT TIME ZONE 'UTC')
"""


@needs_promtool
def test_each_other_state_fires_its_alert_only(service: Service, tmp_path: Path) -> None:
    serve(service, generate_leagues(0.02))
    assert service.sync().code == 0
    found, exported = {}, set()
    with psycopg.connect(service.database, autocommit=True) as connection:
        connection.execute(BEAT)
        for statement in STATES:
            with connection.transaction(force_rollback=True):
                connection.execute(statement.encode())
                text = collected(connection)
                found[statement] = firing(text, tmp_path)
                exported |= {name for name, _, _ in SAMPLE.findall(text)}
    assert exported == EXPORTED
    assert found == {statement: {f"Oddins{name}"} for statement, name in STATES.items()}


def test_a_run_that_is_at_its_consumers_steps_is_not_orphaned(service: Service) -> None:
    serve(service, generate_leagues(0.02))
    assert service.sync().code == 0
    service.query(f"{LOST} RETURNING 1")
    assert "\noddins_orphaned_runs 1.0\n" in scrape(service)
    service.query(
        "INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp, step_key)"
        " SELECT run_id, '{}', 'STEP_START', now(), 'consumer' FROM dagster.runs RETURNING 1"
    )
    assert "\noddins_orphaned_runs 0.0\n" in scrape(service)


def test_what_is_not_known_is_absent_and_never_zero(service: Service) -> None:
    serve(service, generate_leagues(0.02))
    assert service.sync().code == 0
    text = service.run("metrics", **service.environment()).stdout
    assert KEY not in text
    for name in ("oddins_subscription_end", "oddins_daemon_heartbeat", "oddins_deliveries_pending"):
        assert f"\n{name}" not in text
    assert 'oddins_rows_listed{table="bookmakers"}' not in text
    assert 'oddins_rows_listed{table="leagues"}' in text
    for name in {found[0] for found in SAMPLE.findall(text)}:
        assert f"`{name}`" in PAGE


def test_metrics_are_served_and_written_and_say_when_the_catalog_is_down(
    service: Service, tmp_path: Path
) -> None:
    assert service.sync().code == 0
    path = tmp_path / "oddins.prom"
    assert service.run("metrics", "--output", str(path), **service.environment()).code == 0
    assert "\noddins_up 1.0\n" in path.read_text("utf-8")
    lost = {**service.environment(), "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    assert service.run("metrics", "--output", str(path), **lost).code == 1
    assert "\noddins_up 0.0\n" in path.read_text("utf-8")
    assert service.run("metrics", "--listen", "nonsense", **lost).code == 2
    os.mkfifo(device := tmp_path / "device")
    assert service.run("metrics", "--output", str(device), **lost).code == 2
    assert device.is_fifo()


def test_every_alert_is_named_by_the_entry_that_it_links_to() -> None:
    entries = dict(re.findall(r"^## (.*)\n((?:(?!^## ).*\n?)*)", RUNBOOK, re.MULTILINE))
    by_anchor = {re.sub(r"[^a-z0-9]+", "-", head.lower()): text for head, text in entries.items()}
    for rule in yaml.safe_load(RULES.read_text("utf-8"))["groups"][0]["rules"]:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (PROJECT / page).is_file()
        assert f"`{rule['alert']}`" in by_anchor[anchor]


def expressions() -> dict[str, str]:
    """Every expression of the rules and the dashboard, by the alert or the panel that has it."""
    rules = yaml.safe_load(RULES.read_text("utf-8"))["groups"][0]["rules"]
    targets = [(panel["title"], panel["targets"]) for panel in DASHBOARD["panels"]]
    return {rule["alert"]: rule["expr"] for rule in rules} | {
        f"{title}, {number}": target["expr"]
        for title, found in targets
        for number, target in enumerate(found)
    }


def test_rules_and_dashboard_read_metrics_that_are_exported() -> None:
    for place, expression in expressions().items():
        names = set(re.findall(r"oddins_\w+", expression))
        assert names, place
        assert names <= EXPORTED, place


@needs_promtool
def test_the_rules_pass_their_own_tests_and_the_dashboard_is_promql(tmp_path: Path) -> None:
    recorded = [{"record": "x", "expr": one} for one in expressions().values()]
    path = tmp_path / "expressions.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": recorded}]}), "utf-8")
    for verb, file in (("test", RULES.with_name("alerts_test.yml")), ("check", path)):
        command = [str(PROMTOOL), verb, "rules", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
