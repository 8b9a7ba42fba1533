"""Schedule and sensors: with a running daemon, and one evaluation at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from oddins_pipeline.config.automation import AutomationSettings
from oddins_pipeline.database.identity import DATABASE_TAG
from oddins_pipeline.database.lock import lock_id
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.orchestration.jobs import BACKFILL_JOB, CLAIM_TAG, REQUEST_TAG, SYNC_JOB
from oddins_pipeline.orchestration.ownership import CLOCK_TAG
from oddins_pipeline.orchestration.schedules import build_schedules
from oddins_pipeline.orchestration.sensors import build_sensors
from oddins_pipeline_tests.support.daemon import (
    AUTOMATION,
    YAML,
    daemon,
    instance_at,
    owner_of,
    wait_for,
)
from oddins_pipeline_tests.support.service import Service

Status = dg.DagsterRunStatus
JOB_BACKFILL = [
    *(sys.executable, "-m", "dagster", "job", "backfill", "-m", "oddins_pipeline.definitions"),
    *("-j", BACKFILL_JOB, "--partitions", "2019", "--noprompt"),
]

SETTINGS = AutomationSettings(_env_file=None)


@pytest.fixture
def home(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (service.environment() | AUTOMATION).items():
        monkeypatch.setenv(name, value)
    made = tmp_path / "dagster_home"
    made.mkdir()
    shutil.copy(YAML, made)
    return made


def test_an_idle_code_location_ticks_seldom() -> None:
    pauses = [sensor.minimum_interval_seconds or 30 for sensor in build_sensors(SETTINGS)]
    a_minute = sum(60 / pause for pause in pauses)
    assert a_minute <= 8  # each costs the database about twenty statements


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with instance_at(home) as made:
        yield made


def add_run(
    instance: dg.DagsterInstance, job_name: str, status: Status, **tags: str
) -> dg.DagsterRun:
    """One of ours."""
    job = build_definitions().resolve_job_def(job_name)
    ours = owner_of(os.environ["DATABASE_URL"]).tags
    return instance.create_run_for_job(job, status=status, tags={**ours, **tags})


def age_runs(service: Service, seconds: int) -> None:
    service.query(
        "UPDATE dagster.runs SET start_time = extract(epoch FROM now()) - %s,"
        " create_timestamp = (now() AT TIME ZONE 'UTC') - make_interval(secs => %s)"
        " RETURNING id",
        seconds,
        seconds,
    )


@pytest.mark.timeout(900)  # eight runs take minutes where the machine is busy
def test_a_daemon_left_alone_backfills_catches_up_and_buries_the_dead(
    service: Service, home: Path
) -> None:
    assert service.sync(DAGSTER_HOME=str(home)).code == 0
    service.query(
        "UPDATE provider_sync_state SET last_synced_at = now() - interval '3 days' RETURNING 1"
    )
    service.query("INSERT INTO backfill_requests (season) VALUES (2023), (2024) RETURNING id")
    # Claimed by a daemon that was killed before the run was made.
    service.query(
        "INSERT INTO backfill_requests (season, status, attempts) VALUES (2022, 'running', 1)"
        " RETURNING id"
    )
    with instance_at(home) as instance:
        dead = add_run(instance, SYNC_JOB, Status.STARTED)
    age_runs(service, 120)
    service.provider.script("500")

    with daemon(home, dict(os.environ)):
        wait_for(
            lambda: (
                service.query("SELECT bool_and(status = 'done') FROM backfill_requests")
                == [(True,)]
            ),
            seconds=300,
            what="every request is done",
        )
        subprocess.run(
            JOB_BACKFILL, cwd=home, env={**os.environ, "DAGSTER_HOME": str(home)}, check=True
        )
        wait_for(
            lambda: (
                service.query(
                    "SELECT count(*) FROM provider_sync_state WHERE entity = 'leagues_seasons'"
                    " AND last_synced_at > now() - interval '1 hour'"
                )
                == [(1,)]
            ),
            seconds=300,
            what="the stale catalog is synced",
        )

        wait_for(
            lambda: {"season": "2019"} in [query for _, _, query in service.provider.requests],
            seconds=200,
            what="`dagster job backfill` fetches its season",
        )

    attempts = service.query("SELECT attempts FROM backfill_requests ORDER BY attempts")
    assert attempts == [(1,), (1,), (2,)], "one failed once, and the lost one kept its attempt"
    with instance_at(home) as instance:
        ended = instance.get_run_by_id(dead.run_id)
        assert ended is not None
        assert ended.status is Status.FAILURE
        backfills = instance.get_runs(dg.RunsFilter(job_name=BACKFILL_JOB))
    assert len(backfills) == 5, "four seasons, one of them twice"
    error = service.query(
        "SELECT last_error, last_error_at < last_synced_at FROM provider_sync_state"
        " WHERE entity = 'leagues_seasons'"
    )
    assert "terminated unexpectedly" in error[0][0]
    assert error[0][1], "an error from before the sync does not make it look failing"
    seasons = [query["season"] for _, _, query in service.provider.requests if query]
    assert set(seasons) == {"2019", "2022", "2023", "2024"}


def test_the_schedule_skips_with_a_reason_while_a_sync_is_running(
    instance: dg.DagsterInstance,
) -> None:
    schedule = next(one for one in build_schedules(SETTINGS) if one.name == "daily_league_sync")
    context = dg.build_schedule_context(instance=instance)
    assert len(schedule.evaluate_tick(context).run_requests or []) == 1
    add_run(instance, BACKFILL_JOB, Status.STARTED)
    assert schedule.evaluate_tick(context).run_requests, "a backfill does not keep it waiting"
    run = add_run(instance, SYNC_JOB, Status.STARTED)
    skipped = schedule.evaluate_tick(context)
    assert not skipped.run_requests
    assert skipped.skip_message == f"a sync is started already: run {run.run_id[:8]}"


def tick(instance: dg.DagsterInstance, sensor: str, cursor: str | None = None) -> dg.SensorResult:
    found = next(one for one in build_sensors(SETTINGS) if one.name == sensor)
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=build_definitions().get_repository_def()
    )
    data = found.evaluate_tick(context)
    return dg.SensorResult(
        run_requests=data.run_requests, skip_reason=data.skip_message, cursor=data.cursor
    )


def test_a_request_out_of_range_fails_with_the_range(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.query("INSERT INTO backfill_requests (season) VALUES (1999) RETURNING id")
    assert not tick(instance, "backfill_requests_sensor").run_requests
    found = service.query("SELECT status, error FROM backfill_requests")
    assert found[0][0] == "failed"
    assert "outside 2008 to" in found[0][1]


def test_twenty_requests_enter_the_queue_three_at_a_time_and_behind_the_daily_sync(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.query(
        "INSERT INTO backfill_requests (season) SELECT generate_series(2008, 2027) RETURNING id"
    )
    first = tick(instance, "backfill_requests_sensor").run_requests or []
    assert [one.partition_key for one in first] == ["2008", "2009", "2010"]
    jobs = {name: build_definitions().resolve_job_def(name) for name in (SYNC_JOB, BACKFILL_JOB)}
    priorities = {name: int(job.tags["dagster/priority"]) for name, job in jobs.items()}
    assert priorities[SYNC_JOB] > priorities[BACKFILL_JOB]
    again = tick(instance, "backfill_requests_sensor").run_requests or []
    assert [one.run_key for one in again] == [one.run_key for one in first], "lost, so asked again"


@pytest.mark.parametrize(
    ("row", "status", "error"),
    [
        ("(2020, 'requested', 5, now())", "failed", "its 5 attempts are used up"),
        ("(2020, 'requested', 0, 'infinity')", "requested", None),
        ("(1999, 'running', 1, now())", "failed", "season 1999 is outside"),
        ("(1999, 'running', 0, now())", "failed", "season 1999 is outside"),
    ],
)
def test_a_row_that_no_run_can_fulfil_does_not_stop_the_others(
    instance: dg.DagsterInstance, service: Service, row: str, status: str, error: str | None
) -> None:
    service.query(
        "INSERT INTO backfill_requests (season, status, attempts, next_attempt_at)"
        f" VALUES {row}, (2024, 'requested', 0, now()) RETURNING id"
    )
    (asked,) = tick(instance, "backfill_requests_sensor").run_requests or []
    assert asked.partition_key == "2024"
    found = service.query("SELECT status, error FROM backfill_requests ORDER BY id")
    assert found[0][0] == status
    assert error in found[0][1] if error else found[0][1] is None
    assert service.run("status", **service.environment()).code == 0


def test_a_request_that_was_done_once_may_be_opened_again(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    job = build_definitions().resolve_job_def(BACKFILL_JOB)
    for times in (1, 2):
        (asked,) = tick(instance, "backfill_requests_sensor").run_requests or []
        for _ in range(2):  # a run that comes after the request is done asks nothing
            done = job.execute_in_process(instance=instance, partition_key="2024", tags=asked.tags)
            assert done.success
            assert service.query("SELECT status FROM backfill_requests") == [("done",)]
            assert len(service.provider.requests) == times
        service.query("UPDATE backfill_requests SET status = 'requested' RETURNING id")


def test_catching_up_goes_on_after_its_cursor_was_reset(
    instance: dg.DagsterInstance, service: Service
) -> None:
    assert service.sync().code == 0
    service.query(
        "UPDATE provider_sync_state SET last_synced_at = now() - interval '3 days' RETURNING 1"
    )
    keys = set()
    for _ in range(2):
        cursor = tick(instance, "catch_up_sensor").cursor
        assert cursor is not None
        kept = json.loads(cursor)
        state = kept["entities"]["leagues_seasons"]
        state["at"] = str(datetime.fromisoformat(state["at"]) - timedelta(minutes=2))
        (asked,) = tick(instance, "catch_up_sensor", json.dumps(kept)).run_requests or []
        keys.add(asked.run_key)
        assert asked.tags.items() >= owner_of(service.database).tags.items()
    assert len(keys) == 2


def test_dagsters_times_are_utc_whatever_the_servers_zone_is(home: Path, service: Service) -> None:
    with psycopg.connect(service.database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'America/New_York'")
    with instance_at(home) as made:
        add_run(made, SYNC_JOB, Status.NOT_STARTED)
        tick(made, "sync_failure_sensor")
        assert [run.status for run in made.get_runs()] == [Status.NOT_STARTED]
    age = "extract(epoch FROM (now() AT TIME ZONE 'UTC') - create_timestamp)"
    assert 0 <= service.query(f"SELECT {age} FROM dagster.runs")[0][0] < 60


def test_a_run_that_ended_without_publishing_puts_its_request_back(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    (asked,) = tick(instance, "backfill_requests_sensor").run_requests or []
    run = add_run(instance, BACKFILL_JOB, Status.STARTED, **asked.tags)
    assert set(asked.tags) >= {REQUEST_TAG, CLAIM_TAG, DATABASE_TAG}
    assert not tick(instance, "backfill_requests_sensor").run_requests
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", run.job_name), run.run_id)
    instance.report_run_failed(run, "the worker crashed")
    assert not tick(instance, "backfill_requests_sensor").run_requests
    found = service.query(
        "SELECT status, attempts, error, next_attempt_at > now() FROM backfill_requests"
    )
    assert found == [("requested", 1, "the worker crashed", True)]


def test_an_attempt_that_cost_nothing_is_followed_by_a_run_of_its_own(
    instance: dg.DagsterInstance, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster skips a run key that it has seen: the request would be open for ever."""
    monkeypatch.setenv("ODDINS_LOCK_TIMEOUT", "0")
    service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    job, keys = build_definitions().resolve_job_def(BACKFILL_JOB), set()
    with psycopg.connect(service.database) as other_sync:
        other_sync.execute("SELECT pg_advisory_lock(%s)", (lock_id(),))
        for number in (1, 2):
            (asked,) = tick(instance, "backfill_requests_sensor").run_requests or []
            keys.add(asked.run_key)
            assert len(keys) == number
            job.execute_in_process(
                instance=instance, partition_key="2024", tags=asked.tags, raise_on_error=False
            )
            assert not tick(instance, "backfill_requests_sensor").run_requests
            found = service.query("SELECT status, attempts, error FROM backfill_requests")
            assert found[0][:2] == ("requested", 0)
            assert "nothing was done" in found[0][2]
            service.query("UPDATE backfill_requests SET next_attempt_at = now() RETURNING id")


def test_nothing_optional_starts_after_a_final_failure(
    instance: dg.DagsterInstance, service: Service
) -> None:
    service.provider.script("suspended")
    assert service.sync().code == 1
    service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    for sensor in ("backfill_requests_sensor", "catch_up_sensor"):
        result = tick(instance, sensor)
        assert not result.run_requests
        assert "until a full sync succeeds" in str(result.skip_reason)
    assert service.query("SELECT status FROM backfill_requests") == [("requested",)]


def test_a_failure_that_was_recorded_later_than_it_happened_is_not_moved(
    instance: dg.DagsterInstance, service: Service
) -> None:
    assert service.sync().code == 0
    run = add_run(instance, SYNC_JOB, Status.STARTED, **{CLOCK_TAG: "0"})
    age_runs(service, 3600)
    tick(instance, "sync_failure_sensor")
    found = service.query("SELECT last_error, last_error_at FROM provider_sync_state")
    assert "terminated unexpectedly" in found[0][0]
    tick(instance, "sync_failure_sensor")
    assert service.query("SELECT last_error, last_error_at FROM provider_sync_state") == found
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is Status.FAILURE
