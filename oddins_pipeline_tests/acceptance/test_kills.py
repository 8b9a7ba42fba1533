"""Every way to die: tables whole, lock free, events truthful, the next run good."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oddins_pipeline.database.lock import lock_id
from oddins_pipeline.orchestration.runs import GRACE_PERIOD
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.daemon import YAML
from oddins_pipeline_tests.support.everything import (
    EVERYTHING,
    archived_since,
    assert_everything_whole,
    serve_everything,
)
from oddins_pipeline_tests.support.kills import (
    COMMAND,
    MATERIALIZE,
    RUN,
    Victim,
    assert_survived,
    content_now,
    content_of,
    other,
    spread,
    wait_until_free,
    when,
)
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Service

KILLS = int(os.environ.get("ODDINS_KILLS", "4"))
"""Kills of each kind; `make soak` deals more."""

# Killed before its first step, a run of Dagster's command is nobody's: see docs/dagster.md.
_LEFT = """
SELECT count(*) FROM dagster.runs JOIN dagster.run_tags USING (run_id)
WHERE status = 'STARTED' AND key = 'oddins/database'
"""
UNPUBLISHED = {"before archive", "before commit", "in COPY"}
Entries = list[dict[str, Any]]


def dagster_home(directory: Path) -> Path:
    """A home of Dagster's with the project's dagster.yaml."""
    home = directory / "dagster_home"
    home.mkdir()
    shutil.copy(YAML, home)
    return home


class Pace:
    """How long an undisturbed sync takes here and now, in seconds: all of it, and what comes
    after its first request.
    """

    def __init__(self, service: Service, *victim: Any) -> None:
        self.service, self.victim = service, victim
        started, asked = time.monotonic(), len(service.provider.requests)
        undisturbed = self.begin()
        undisturbed.end()
        assert undisturbed.process.returncode == 0
        self.whole = time.monotonic() - started
        self.rest = time.monotonic() - service.provider.requests[asked][0]

    def begin(self) -> Victim:
        return Victim(self.service, *self.victim)

    def hit(self, number: signal.Signals, share: float, *, fetched: bool) -> Victim:
        """A sync that gets the signal when `share` of it, or of what follows its request, has
        passed.
        """
        asked = len(self.service.provider.requests)
        victim = self.begin()
        if fetched:
            while len(self.service.provider.requests) == asked:
                assert victim.process.poll() is None
                time.sleep(0.002)
        time.sleep(share * (self.rest if fetched else self.whole))
        victim.kill(number)
        return victim


@pytest.mark.parametrize(
    "command",
    [COMMAND, pytest.param(MATERIALIZE, marks=pytest.mark.soak)],
    ids=["oddins", "dagster"],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_sync_leaves_a_whole_response_wherever_it_is_hit(
    service: Service,
    tmp_path: Path,
    number: signal.Signals,
    command: tuple[str, ...],
    record_property: Callable[..., None],
) -> None:
    entries = generate_leagues(1)
    serve(service, entries)
    home = dagster_home(tmp_path)
    assert service.sync().code == 0
    shown = content_of(entries)
    pace, states = Pace(service, tmp_path, command, {"DAGSTER_HOME": str(home)}), []
    for turn in range(KILLS):
        response = other(entries, turn)
        serve(service, response)
        # By turns drawn over all of it and over what may go wrong with the tables.
        victim = pace.hit(number, (turn + 0.5) / KILLS, fetched=bool(turn % 2))
        reported = victim.end()
        # Dagster's own commands print traces below the sentence.
        assert command is MATERIALIZE or "Traceback" not in reported, reported
        states.append(victim.state())
        assert_survived(service, victim, [shown, content_of(response)])
        shown = content_now(service)
        if number is signal.SIGTERM and states[-1] in UNPUBLISHED:
            failing = "SELECT last_error_at > last_synced_at, last_error FROM provider_sync_state"
            ((is_failing, error),) = service.query(failing)
            assert is_failing, states[-1]
            assert "interrupted" in error
    record_property(f"{command[1]} {number.name}", spread(states))
    serve(service, entries)
    if command is MATERIALIZE:  # only a command's run is known to be lost at once
        time.sleep(GRACE_PERIOD.total_seconds())
    assert service.sync("--force").code == 0
    assert content_now(service) == content_of(entries)
    assert service.query(_LEFT) == [(0,)], "the next sync ends the runs that died"


@pytest.mark.soak
def test_a_killed_run_of_everything_leaves_each_entity_whole(
    service: Service, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    turn = 0
    serve_everything(service, turn)
    home = {"DAGSTER_HOME": str(dagster_home(tmp_path))}
    Victim(service, tmp_path, EVERYTHING, home).end()
    pace, states = Pace(service, tmp_path, EVERYTHING, home), []
    assert_everything_whole(service)
    for turn in range(1, KILLS + 1):
        serve_everything(service, turn)
        victim = pace.hit(signal.SIGKILL, (turn - 0.5) / KILLS, fetched=bool(turn % 4))
        victim.end()
        wait_until_free(service, 5)
        published = assert_everything_whole(service).count(turn)
        states.append(f"{published} of {archived_since(service, victim.before)} published")
    record_property("everything SIGKILL", spread(states))
    serve_everything(service, turn + 1)
    asked = len(service.provider.requests)
    last = pace.begin()
    last.end()
    assert last.process.returncode == 0
    assert len(service.provider.requests) == asked + 3, "one request an entity"
    assert assert_everything_whole(service) == [turn + 1] * 3
    time.sleep(GRACE_PERIOD.total_seconds())
    assert service.sync("--force").code == 0
    assert service.query(_LEFT) == [(0,)], "the next sync ends the runs that died"


def test_a_run_that_is_ended_before_its_first_step_is_reported(
    service: Service, tmp_path: Path
) -> None:
    assert service.sync().code == 0
    asked = len(service.provider.requests)
    with psycopg.connect(service.database) as other_sync:
        other_sync.execute("SELECT pg_advisory_lock(%s)", (lock_id(),))
        victim = Victim(service, tmp_path, MATERIALIZE)
        while not service.query(f"SELECT 1 FROM pg_stat_activity WHERE {RUN}"):
            assert victim.process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        victim.kill(signal.SIGTERM)
        victim.end()
    failing = "SELECT entity, last_error_at > last_synced_at, last_error FROM provider_sync_state"
    ((entity, is_failing, error),) = service.query(failing)
    assert (entity, is_failing) == ("leagues_seasons", True)
    assert "interrupted" in error
    assert len(service.provider.requests) == asked


@pytest.mark.parametrize(
    "query",
    ["%pg_advisory_xact_lock%", "COPY staged_seasons%", "WITH diff%"],
    ids=["fetching", "copying", "merging"],
)
def test_a_connection_that_is_cut_leaves_the_tables_as_they_were_and_is_reported(
    service: Service, tmp_path: Path, query: str
) -> None:
    entries = generate_leagues(1)
    serve(service, entries)
    assert service.sync().code == 0
    shown = content_of(entries)
    serve(service, other(entries, 1))
    service.provider.delay = 1
    cut = when(service, query, "pg_terminate_backend(pid)")
    victim = Victim(service, tmp_path)
    reported = victim.end()
    assert cut.is_set()
    assert victim.process.returncode == 1
    assert "Traceback" not in reported
    assert "the database failed or cannot be reached" in reported
    assert_survived(service, victim, [shown])
    error = service.query(
        "SELECT last_error_at > last_synced_at, last_error FROM provider_sync_state"
    )
    assert error[0][0]
    assert "the database failed" in error[0][1]
    service.provider.delay = 0
    assert service.sync("--force").code == 0
    assert content_now(service) == content_of(other(entries, 1))


def test_a_sync_that_waits_for_a_table_gives_up_in_time(service: Service) -> None:
    entries = generate_leagues(0.05)
    serve(service, entries, other(entries, 1))
    assert service.sync().code == 0
    with psycopg.connect(service.database) as blocker:
        blocker.execute("LOCK TABLE leagues IN EXCLUSIVE MODE")
        done = service.sync("--force", ODDINS_STATEMENT_TIMEOUT="1")
    assert done.code == 1
    assert "statement timeout" in done.stderr
    assert "Traceback" not in done.stderr
    assert content_now(service) == content_of(entries)
