"""What `oddins status` and `oddins doctor` say first."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import psycopg
import pytest

from oddins_pipeline.cli.status import next_sync
from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline_tests.support.service import Outcome, Service

NOW = datetime(2026, 4, 2, 12, tzinfo=timezone.utc)
NAMES = ["environment", "database", "rights", "revision", "key", "daemon", "Dagster home", "schema"]


def test_the_first_line_is_the_result_and_an_error_that_has_passed_is_resolved(
    service: Service,
) -> None:
    def status(*arguments: str) -> list[str]:
        return service.run("status", *arguments, **service.environment()).stdout.splitlines()

    assert status()[0].startswith("no full sync has succeeded yet")
    assert service.sync().code == 0
    service.provider.script("suspended")
    assert service.sync().code == 1
    failing = status()
    assert failing[0].startswith("failing: ")
    assert any("failing since" in line and " s ago)" in line for line in failing)
    assert sum("suspended the account" in line for line in failing) == 1
    assert "bets: never synced" in failing
    assert service.sync().code == 0
    healthy = status()
    assert healthy[0] == "healthy"
    assert any("resolved: last error" in line for line in healthy)
    (state,) = json.loads(status("--json")[0])["sync"]
    assert state["failing"] is False
    assert state["last_synced_at"].endswith("Z")


def test_unknown_fields_are_reported_in_the_result_and_the_status(service: Service) -> None:
    service.provider.entries[0]["novelty"] = True
    service.provider.bodies = None
    service.provider._full = json.dumps(
        {
            "get": "leagues",
            "parameters": [],
            "errors": [],
            "results": len(service.provider.entries),
            "paging": {"current": 1, "total": 1},
            "response": service.provider.entries,
        }
    ).encode()
    assert service.sync().json["anomalies"]["unknown_field"] == 1
    shown = service.run("status", **service.environment()).stdout
    assert "leagues_seasons: unusual in the response: unknown fields (1)" in shown


@pytest.mark.parametrize(
    ("cron", "shown"),
    [
        ("17 5 * * *", "2026-04-03 03:17:00 UTC"),
        ("30 16 * * *", "2026-04-02 14:30:00 UTC"),
        ("0 9 * * 1-5", "2026-04-03 07:00:00 UTC"),
    ],
)
def test_the_next_scheduled_sync_is_named(cron: str, shown: str) -> None:
    on = AutomationSettings(automation="on", sync_cron=cron, sync_timezone="Europe/Berlin")
    assert next_sync(on, NOW).startswith(shown)
    assert next_sync(AutomationSettings(sync_cron=cron), NOW).startswith("none by itself")


def test_doctor_lists_the_same_checks_on_an_empty_database(service: Service) -> None:
    def names() -> list[str]:
        done = service.run("doctor", **service.environment(), DAGSTER_HOME="")
        lines = done.stdout.splitlines()
        assert not any(line.startswith("ok") and "not running" in line for line in lines)
        return [line[6:].partition(":")[0] for line in lines]

    before = names()
    with psycopg.connect(service.database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert before == names() == NAMES
    doctor = service.run("doctor", **service.environment(), DAGSTER_HOME="")
    assert "note  revision: no catalog yet" in doctor.stdout, "a new user has done nothing wrong"
    assert doctor.code == 0
    metrics = service.run("metrics", **service.environment())
    assert metrics.code == 1
    assert "does not exist; run `oddins db upgrade`" in metrics.stderr


def test_a_daemon_without_a_heartbeat_for_a_minute_is_not_running(service: Service) -> None:
    assert service.sync().code == 0
    service.query(
        "INSERT INTO dagster.daemon_heartbeats (daemon_type, daemon_id, timestamp)"
        " VALUES ('SENSOR', 'x', (now() AT TIME ZONE 'UTC') - interval '65 seconds') RETURNING 1"
    )
    done = service.run("doctor", **service.environment(), ODDINS_AUTOMATION="on")
    assert "FAIL  daemon: not running" in done.stdout
    assert done.code == 1


def test_the_sample_world_moves_on_and_never_back(service: Service) -> None:
    variables = {**service.environment(), "ODDINS_SAMPLE_URL": "", "SPORTS_PROVIDER_API_KEY": ""}

    def sync(*arguments: str) -> Outcome:
        return service.run("sync", "leagues", "--sample", "--json", *arguments, **variables)

    assert sync().json["counts"]["leagues"]["inserted"] == 1250
    moved = sync("--days", "40").json["counts"]
    assert moved["leagues"]["delisted"] == 2
    assert moved["leagues"]["updated"] > 0
    assert moved["seasons"]["inserted"] > 0
    assert moved["season_coverage"]["updated"] > 0
    assert sync().json["unchanged"] is True  # where the database stands, not the world's start
    assert sync("--days", "60").json["counts"]["leagues"]["delisted"] == 1
    back = sync("--days", "59")
    assert back.code == 2
    assert "has seen day 60" in back.stderr
    assert service.query("SELECT max(last_error) FROM provider_sync_state") == [(None,)]


def test_an_unknown_country_gets_the_nearest_name_and_costs_no_request(service: Service) -> None:
    def asked() -> int:
        return len(service.provider.requests)

    assert service.sync("--country", "Englnd").code == 0  # an empty catalog has no opinion
    assert service.sync().code == 0
    before = asked()
    refused = service.sync("--country", "Englnd")
    assert refused.code == 1
    assert "did you mean England?" in refused.stderr
    assert asked() == before
    assert service.query("SELECT max(last_error) FROM provider_sync_state") == [(None,)]
    assert service.sync("--country", "england").code == 0
    assert service.sync("--country", "Englnd", "--force").code == 0
    assert asked() == before + 2
