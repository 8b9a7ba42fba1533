"""The main job, as its users see it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.responses import Entries, body_of, serve
from oddins_pipeline_tests.support.service import Service


@pytest.fixture(scope="module")
def entries() -> Entries:
    return generate_leagues(0.05)


def test_a_first_sync_loads_the_whole_catalog(any_service: Service, entries: Entries) -> None:
    serve(any_service, entries)
    done = any_service.sync()
    assert done.code == 0, done.stderr
    seasons = {(e["league"]["id"], s["year"]) for e in entries for s in e["seasons"]}
    expected = {
        "countries": len({e["country"]["name"] for e in entries}),
        "leagues": len(entries),
        "seasons": len(seasons),
        "season_coverage": len(seasons),
    }
    for table, rows in expected.items():
        assert done.json["counts"][table]["inserted"] == rows
        assert any_service.query(f"SELECT count(*) FROM {table}") == [(rows,)]


def test_the_same_response_in_another_order_moves_no_row_version(
    any_service: Service, entries: Entries
) -> None:
    shuffled = json.loads(json.dumps(entries))
    random.Random(7).shuffle(shuffled)
    for entry in shuffled:
        random.Random(8).shuffle(entry["seasons"])
    serve(any_service, entries, shuffled)
    assert any_service.sync().code == 0
    before = any_service.versions()
    again = any_service.sync()
    assert again.code == 0
    assert again.json["unchanged"] is True
    assert any_service.versions() == before
    assert any_service.query("SELECT count(*) FROM provider_payloads") == [(1,)]


def test_a_changed_response_moves_only_what_differs(any_service: Service, entries: Entries) -> None:
    changed = json.loads(json.dumps(entries))
    changed[3]["league"]["name"] = "Renamed League"
    serve(any_service, entries, changed)
    any_service.sync()
    before = set(any_service.versions())
    done = any_service.sync()
    assert done.json["counts"]["leagues"]["updated"] == 1
    assert len(set(any_service.versions()) - before) == 1
    feed = any_service.query(
        "SELECT natural_key, change, after FROM catalog_changes WHERE change <> 'loaded'"
    )
    assert feed == [(str(changed[3]["league"]["id"]), "changed", {"name": "Renamed League"})]


def test_a_then_b_then_a_ends_in_a(service: Service, entries: Entries) -> None:
    other = json.loads(json.dumps(entries))
    other[0]["league"]["name"] = "Another Name"
    serve(service, entries, other, entries)
    for _ in range(3):
        assert service.sync().code == 0
    name = service.query(
        "SELECT name FROM leagues WHERE provider_league_id = %s", entries[0]["league"]["id"]
    )
    assert name == [(entries[0]["league"]["name"].strip(),)]
    assert service.query("SELECT count(*) FROM provider_payloads") == [(3,)]


def test_a_shrunken_response_is_refused_and_force_publishes_it(
    any_service: Service, entries: Entries
) -> None:
    serve(any_service, entries, entries[: len(entries) * 9 // 10])
    any_service.sync()
    before = any_service.versions()
    refused = any_service.sync()
    assert refused.code == 1
    assert "of the listed leagues" in refused.stderr
    assert "--force" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert any_service.versions() == before
    error = any_service.query(
        "SELECT last_error, last_error_at > last_synced_at FROM provider_sync_state"
    )
    assert "of the listed leagues" in error[0][0]
    assert error[0][1]
    assert any_service.query(
        "SELECT count(*) FROM provider_payloads WHERE refusal IS NOT NULL"
    ) == [(1,)]
    forced = any_service.sync("--force")
    assert forced.code == 0
    missing = len(entries) - len(entries) * 9 // 10
    assert forced.json["counts"]["leagues"]["delisted"] == missing
    listed = any_service.query("SELECT count(*) FROM leagues WHERE delisted_at IS NULL")
    assert listed == [(len(entries) * 9 // 10,)]


@pytest.mark.parametrize("argument", ["--force", None])
def test_an_empty_full_response_is_always_refused(
    service: Service, entries: Entries, argument: str | None
) -> None:
    serve(service, entries, [])
    service.sync()
    before = service.versions()
    done = service.sync(*([argument] if argument else []))
    assert done.code == 1
    assert service.versions() == before


def test_a_partial_response_adds_and_updates_only(service: Service, entries: Entries) -> None:
    serve(service, entries)
    service.sync()
    service.provider.bodies = None
    listed = service.query("SELECT count(*) FROM leagues WHERE delisted_at IS NULL")
    done = service.sync("--season", "2024")
    assert done.code == 0, done.stderr
    assert service.query("SELECT count(*) FROM leagues WHERE delisted_at IS NULL")[0] >= listed[0]
    states = service.query("SELECT entity FROM provider_sync_state ORDER BY 1")
    assert states == [("leagues_seasons",), ("leagues_seasons_partial",)]


def test_a_replay_repairs_what_a_person_has_edited(service: Service, entries: Entries) -> None:
    serve(service, entries)
    service.sync()
    requests = service.query("SELECT count(*) FROM provider_requests")
    with psycopg.connect(service.database) as connection:
        connection.execute("UPDATE leagues SET name = 'Vandalised' WHERE provider_league_id = 1")
    assert service.sync("--replay").code == 0
    assert service.query("SELECT count(*) FROM leagues WHERE name = 'Vandalised'") == [(0,)]
    assert service.query("SELECT count(*) FROM provider_requests") == requests


def test_the_archive_gives_the_bytes_as_received(service: Service, entries: Entries) -> None:
    serve(service, entries)
    number = service.sync().json["payload_id"]
    done = service.run("payload", str(number), **service.environment())
    assert done.stdout.encode() == body_of(entries)


def test_a_dry_run_writes_nothing_but_its_request(service: Service, entries: Entries) -> None:
    serve(service, entries)
    done = service.sync("--dry-run")
    assert done.code == 0, done.stderr
    assert done.json["counts"]["leagues"]["inserted"] == len(entries)
    assert service.query("SELECT count(*) FROM leagues") == [(0,)]
    assert service.query("SELECT count(*) FROM provider_payloads") == [(0,)]
    assert service.query("SELECT count(*) FROM provider_sources") == [(0,)]
    assert service.query("SELECT count(*) FROM provider_requests") == [(1,)]


def test_publishing_again_without_asking_is_no_sign_of_life_of_the_provider(
    service: Service,
) -> None:
    assert service.sync().code == 0
    state = "SELECT last_synced_at, last_error_at > last_synced_at FROM provider_sync_state"
    service.query(
        "UPDATE provider_sync_state SET last_synced_at = now() - interval '3 days' RETURNING 1"
    )
    service.provider.script("suspended")
    assert service.sync().code == 1
    before = service.query(state)
    assert before[0][1]
    assert service.sync("--replay").code == 0
    assert service.query(state) == before
    assert service.run("status", "--check", **service.environment()).code == 1
    assert service.sync("--force").code == 0, "the same response, but asked for"
    assert service.query(state)[0] > before[0]
    assert service.run("status", "--check", **service.environment()).code == 0


def test_a_full_sync_makes_up_for_a_partial_one_that_failed(service: Service) -> None:
    assert service.sync().code == 0
    service.provider.script("plan")
    assert service.sync("--season", "2010").code == 1
    check = ("status", "--check")
    assert service.run(*check, **service.environment()).code == 1
    assert service.sync().code == 0
    assert service.run(*check, **service.environment()).code == 0


def test_eight_at_once_make_one_request_and_seven_exit_75(
    service: Service, entries: Entries, tmp_path: Path
) -> None:
    serve(service, entries)
    service.provider.delay = 4.0
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "oddins_pipeline", "sync", "leagues"],
            env={**os.environ, **service.environment()},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    finished = [(process.communicate(timeout=120), process.returncode) for process in started]
    codes = sorted(code for _, code in finished)
    assert codes == [0] + [75] * 7
    for (_, stderr), code in finished:
        assert code == 0 or "another sync holds the lock: oddins sync" in stderr
    assert len(service.provider.requests) == 1
    assert service.query("SELECT count(*) FROM provider_requests") == [(1,)]
    assert service.query("SELECT count(*) FROM dagster.runs") == [(1,)]


def versions_reported(service: Service) -> set[str | None]:
    """Data versions of the four tables' materialization events."""
    events = service.query(
        'SELECT (regexp_match(event, \'"dagster/data_version": "([0-9a-f]{64})"\'))[1]'
        " FROM dagster.event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
        " AND asset_key <> '[\"raw_leagues\"]'"
    )
    return {version for (version,) in events}


@pytest.mark.parametrize("delay", [0.3, 0.8, 1.1, 1.4, 1.7])
def test_a_killed_sync_leaves_one_whole_response(
    service: Service, entries: Entries, tmp_path: Path, delay: float
) -> None:
    other = [entry for entry in json.loads(json.dumps(entries)) if entry["league"]["id"] > 1]
    for entry in other:
        entry["league"]["logo"] = "https://media.example.test/new.png"
    serve(service, entries, other)
    service.sync()
    process = subprocess.Popen(
        [sys.executable, "-m", "oddins_pipeline", "sync", "leagues", "--force"],
        env={**os.environ, **service.environment()},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    logos = service.query("SELECT count(DISTINCT logo_url) FROM leagues WHERE delisted_at IS NULL")
    new = service.query("SELECT count(*) FROM leagues WHERE logo_url LIKE '%%example.test%%'")
    assert new[0][0] in {0, len(other)}
    assert logos[0][0] > 0
    reported = versions_reported(service)
    published = service.query("SELECT sha256 FROM provider_payloads WHERE published_at IS NOT NULL")
    assert reported
    assert reported <= {sha256 for (sha256,) in published}
    assert service.sync("--force", "--lock-timeout", "10").code == 0


def test_missing_and_wrong_settings_are_all_named_at_once(service: Service) -> None:
    done = service.run(
        "sync", "leagues", APP_ENV="produktion", ODDINS_POOL_SIZE="many", DATABASE_URL="mysql://x"
    )
    assert done.code == 2
    assert "local, staging, production" in done.stderr
    assert "ODDINS_POOL_SIZE" in done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_without_a_key_names_the_key_and_sample(service: Service) -> None:
    done = service.run("sync", "leagues", DATABASE_URL=service.database)
    assert done.code == 2
    assert "SPORTS_PROVIDER_API_KEY" in done.stderr
    assert "--sample" in done.stderr


def test_an_unreachable_database_is_one_sentence(service: Service) -> None:
    done = service.sync(DATABASE_URL="postgresql://u:s3cr3tpw@127.0.0.1:1/x")
    assert done.code == 1
    assert "Traceback" not in done.stderr
    assert "s3cr3tpw" not in done.stderr + done.stdout


def test_the_log_reports_the_story_in_json_lines(service: Service, entries: Entries) -> None:
    serve(service, entries)
    done = service.sync("--log-format", "json")
    messages = [line["message"] for line in done.logs]
    for expected in (
        "worker started",
        "PostgreSQL pool initialized",
        "advisory lock acquired",
        "starting the leagues sync",
        "fetching leagues",
        "validating the response",
        f"received {len(entries)} leagues",
        "provider source ensured",
        "sync completed",
        "job completed",
    ):
        assert expected in messages
    assert {line["job"] for line in done.logs} == {"sync_leagues"}
