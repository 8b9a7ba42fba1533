"""Death of the daemon, the code server, the webserver and their runs, as an operator has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from oddins_pipeline.orchestration.jobs import BACKFILL_JOB
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.daemon import wait_for
from oddins_pipeline_tests.support.kills import RUN, content_now, content_of, other, wait_until_free
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Service
from oddins_pipeline_tests.support.services import Services, running_services

pytestmark = pytest.mark.soak
CANCEL = """mutation($run: String!) { terminateRun(runId: $run) { __typename } }"""


@pytest.fixture
def services(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    home = tmp_path / "dagster_home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    serve(service, generate_leagues(0.1))
    with running_services(service, home, ODDINS_HTTP_READ_TIMEOUT="60") as running:
        assert service.sync().code == 0
        yield running


def begin_fetch(services: Services, turn: int) -> str:
    """A run that waits for the provider's response."""
    serve(services.service, other(generate_leagues(0.1), turn))
    services.service.provider.delay = 40
    run_id = services.launch()
    services.wait_for_fetch(run_id)
    services.service.provider.delay = 0
    return run_id


def assert_next_run_is_good(services: Services, turn: int) -> None:
    """The queue moves, and a run publishes, without anyone's help."""
    wait_until_free(services.service, 10)
    response = other(generate_leagues(0.1), 2 * turn)
    serve(services.service, response)
    services.wait_for(services.launch(), "SUCCESS", seconds=180)
    assert content_now(services.service) == content_of(response)
    left = services.service.query("SELECT count(*) FROM dagster.runs WHERE status = 'STARTED'")
    assert left == [(0,)]


def last_error(services: Services) -> str:
    return str(
        services.service.query(
            "SELECT last_error FROM provider_sync_state WHERE entity = 'leagues_seasons'"
        )[0][0]
    )


def timed(services: Services, what: str, started: float) -> None:
    services.metrics.append(f"{what} {time.monotonic() - started:.0f} s")


def kill_the_run(services: Services) -> None:
    started = time.monotonic()
    run_id = begin_fetch(services, 2)
    services.worker().kill()
    services.wait_for(run_id, "FAILURE")
    timed(services, "run worker killed, its run ended", started)
    assert_next_run_is_good(services, 2)
    assert last_error(services)


def kill_code_server_and_run(services: Services) -> None:
    started = time.monotonic()
    run_id = begin_fetch(services, 3)
    services.kill("code server", with_children=True)
    services.start("code server")
    services.wait_for(run_id, "FAILURE")
    timed(services, "code server and run killed, the run ended", started)
    wait_for(services.loaded, seconds=90, what="the UI knows the location")
    assert_next_run_is_good(services, 3)


def kill_the_daemon_after_a_claim(services: Services) -> None:
    started = time.monotonic()
    status = "SELECT status FROM backfill_requests"
    services.service.provider.bodies = None  # a full response is rejected as mismatched
    services.service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    wait_for(
        lambda: services.service.query(status) != [("requested",)],
        seconds=60,
        what="the request is claimed",
    )
    services.kill("daemon", with_children=True)
    services.start("daemon")
    wait_for(lambda: services.service.query(status) == [("done",)], seconds=150, what="it is done")
    runs = "SELECT count(*) FROM dagster.runs WHERE pipeline_name = %s"
    assert services.service.query(runs, BACKFILL_JOB) == [(1,)]
    timed(services, "daemon killed after a claim, the request done by one run", started)


def kill_the_webserver(services: Services) -> None:
    started = time.monotonic()
    serve(services.service, other(generate_leagues(0.1), 0))
    services.service.provider.delay = 5
    run_id = services.launch()
    services.kill("webserver")
    services.start("webserver")
    services.wait_for(run_id, "SUCCESS")
    services.service.provider.delay = 0
    wait_for(services.loaded, seconds=90, what="the UI knows the location")
    timed(services, "webserver killed, the run unaffected", started)


def cancel_from_the_ui(services: Services) -> None:
    started = time.monotonic()
    run_id = begin_fetch(services, 4)
    services.graphql(CANCEL, run=run_id)
    services.wait_for(run_id, "CANCELED", "FAILURE")
    timed(services, f"cancelled from the UI, the run {services.status(run_id)}", started)
    assert "interrupted" in last_error(services)
    assert_next_run_is_good(services, 4)


def hang(services: Services) -> None:
    started = time.monotonic()
    serve(services.service, other(generate_leagues(0.1), 6))
    with psycopg.connect(services.service.database) as blocker:
        blocker.execute("LOCK TABLE leagues IN EXCLUSIVE MODE")
        run_id = services.launch(dagster__max_runtime="5")
        services.wait_for(run_id, "FAILURE", "CANCELED")
        wait_until_free(services.service, 10)
    timed(services, "a run that hangs in the database ended by its longest runtime", started)
    assert_next_run_is_good(services, 5)
    assert services.service.query(f"SELECT count(*) FROM pg_stat_activity WHERE {RUN}") == [(0,)]


def test_every_service_may_die_and_the_next_run_is_good(
    services: Services, record_property: Callable[..., None]
) -> None:
    kill_the_run(services)
    kill_code_server_and_run(services)
    kill_the_daemon_after_a_claim(services)
    kill_the_webserver(services)
    cancel_from_the_ui(services)
    hang(services)
    record_property("deaths", "; ".join(services.metrics))
