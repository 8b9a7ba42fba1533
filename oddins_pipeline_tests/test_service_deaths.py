"""Death of the daemon, the code server, the webserver and their runs, as an operator has them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from oddins_pipeline.orchestration.jobs import BACKFILL_JOB, SYNC_JOB
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.conftest import Service
from oddins_pipeline_tests.daemon import AUTOMATION, end_tree, wait_for
from oddins_pipeline_tests.deaths import RUN, content_now, content_of, wait_until_free
from oddins_pipeline_tests.test_deaths import other
from oddins_pipeline_tests.test_league_sync import serve

pytestmark = pytest.mark.soak
LOCATION = "oddins_pipeline.definitions"
PATIENT = {"ODDINS_HTTP_READ_TIMEOUT": "60"}
LAUNCH = """mutation($job: String!, $tags: [ExecutionTag!]!) { launchRun(executionParams: {
  selector: {repositoryName: "__repository__", jobName: $job,
             repositoryLocationName: "oddins_pipeline.definitions"},
  runConfigData: {}, executionMetadata: {tags: $tags}}) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
CANCEL = """mutation($run: String!) { terminateRun(runId: $run) { __typename } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Services:
    """Code server, webserver and daemon, each a process of its own."""

    def __init__(self, service: Service, home: Path) -> None:
        self.service, self.home = service, home
        self.code_port, self.page_port = free_port(), free_port()
        (home / "workspace.yaml").write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {self.code_port},"
            f" location_name: {LOCATION}}}\n"
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("code server", "webserver", "daemon"):
            self.start(name)
        wait_for(self.loaded, seconds=90, what="the page knows the location")

    def start(self, name: str) -> None:
        workspace = ("-w", str(self.home / "workspace.yaml"))
        arguments = {
            "code server": (
                *("-m", "dagster", "api", "grpc", "-m", LOCATION),
                *("-h", "127.0.0.1", "-p", str(self.code_port)),
            ),
            "webserver": (
                *("-m", "dagster_webserver", *workspace),
                *("-h", "127.0.0.1", "-p", str(self.page_port)),
            ),
            "daemon": ("-m", "dagster._daemon", "run", *workspace),
        }[name]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **self.service.environment(), **AUTOMATION, **PATIENT},
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, name: str, *, with_children: bool = False) -> None:
        process = self.processes[name]
        children = psutil.Process(process.pid).children(recursive=True) if with_children else []
        for child in children:
            child.kill()
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            end_tree(process)

    def graphql(self, query: str, **variables: Any) -> Any:
        url = f"http://127.0.0.1:{self.page_port}/graphql"
        answer = httpx.post(url, json={"query": query, "variables": variables}, timeout=30)
        return answer.json()["data"]

    def loaded(self) -> bool:
        query = "{workspaceOrError{... on Workspace{locationEntries{loadStatus}}}}"
        with suppress(httpx.HTTPError, ValueError, KeyError):
            entries = self.graphql(query)["workspaceOrError"]["locationEntries"]
            return [entry["loadStatus"] for entry in entries] == ["LOADED"]
        return False

    def launch(self, job: str = SYNC_JOB, **tags: str) -> str:
        listed = [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]
        told = self.graphql(LAUNCH, job=job, tags=listed)["launchRun"]
        assert told["__typename"] == "LaunchRunSuccess", told
        return str(told["run"]["runId"])

    def status(self, run_id: str) -> str:
        found = self.service.query("SELECT status FROM dagster.runs WHERE run_id = %s", run_id)
        return str(found[0][0])

    def wait_for(self, run_id: str, *statuses: str, seconds: float = 150) -> None:
        wait_for(
            lambda: self.status(run_id) in statuses,
            seconds=seconds,
            what=f"run {run_id} is {' or '.join(statuses)}, not {self.status(run_id)}",
        )

    def wait_for_fetch(self, run_id: str) -> None:
        asked = "SELECT count(*) FROM provider_requests WHERE run_id = %s"
        wait_for(
            lambda: self.service.query(asked, run_id) == [(1,)],
            seconds=90,
            what="the run fetches",
        )

    def worker(self) -> psutil.Process:
        """The process of the run at work, by the name of its connection."""
        ((name,),) = self.service.query(
            f"SELECT application_name FROM pg_stat_activity WHERE {RUN}"
        )
        return psutil.Process(int(str(name).rpartition(":")[2]))


@pytest.fixture
def services(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    home = tmp_path / "dagster_home"
    home.mkdir()
    yaml = (Path(__file__).parent.parent / "dagster.yaml").read_text()
    # The same file; only the clocks of run monitoring run faster.
    yaml = yaml.replace("poll_interval_seconds: 30", "poll_interval_seconds: 5")
    yaml = yaml.replace("cancel_timeout_seconds: 60", "cancel_timeout_seconds: 10")
    (home / "dagster.yaml").write_text(yaml)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    serve(service, generate_leagues(0.1))
    assert service.sync().code == 0
    running = Services(service, home)
    yield running
    service.provider.delay = 0
    running.stop()


def begin_fetch(services: Services, turn: int) -> str:
    """A run that waits for the provider's answer."""
    serve(services.service, other(generate_leagues(0.1), turn))
    services.service.provider.delay = 40
    run_id = services.launch()
    services.wait_for_fetch(run_id)
    services.service.provider.delay = 0
    return run_id


def assert_next_run_is_good(services: Services, turn: int) -> None:
    """The queue moves, and a run publishes, without anyone's help."""
    wait_until_free(services.service, 10)
    answer = other(generate_leagues(0.1), 2 * turn)
    serve(services.service, answer)
    services.wait_for(services.launch(), "SUCCESS", seconds=180)
    assert content_now(services.service) == content_of(answer)
    left = services.service.query("SELECT count(*) FROM dagster.runs WHERE status = 'STARTED'")
    assert left == [(0,)]


def last_error(services: Services) -> str:
    return str(
        services.service.query(
            "SELECT last_error FROM provider_sync_state WHERE entity = 'leagues_seasons'"
        )[0][0]
    )


def timed(what: str, started: float) -> None:
    print(f"{what}: {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201 - for `make soak`


def kill_the_run(services: Services) -> None:
    started = time.monotonic()
    run_id = begin_fetch(services, 2)
    services.worker().kill()
    services.wait_for(run_id, "FAILURE")
    timed("run worker killed, its run ended", started)
    assert_next_run_is_good(services, 2)
    assert last_error(services)


def kill_code_server_and_run(services: Services) -> None:
    started = time.monotonic()
    run_id = begin_fetch(services, 3)
    services.kill("code server", with_children=True)
    services.start("code server")
    services.wait_for(run_id, "FAILURE")
    timed("code server and run killed, the run ended", started)
    wait_for(services.loaded, seconds=90, what="the page knows the location")
    assert_next_run_is_good(services, 3)


def kill_the_daemon_after_a_claim(services: Services) -> None:
    started = time.monotonic()
    status = "SELECT status FROM backfill_requests"
    services.service.query("INSERT INTO backfill_requests (season) VALUES (2024) RETURNING id")
    wait_for(
        lambda: services.service.query(status) != [("requested",)],
        seconds=60,
        what="the request is claimed",
    )
    services.kill("daemon", with_children=True)
    services.start("daemon")
    services.service.provider.answers = None
    wait_for(lambda: services.service.query(status) == [("done",)], seconds=150, what="it is done")
    runs = "SELECT count(*) FROM dagster.runs WHERE pipeline_name = %s"
    assert services.service.query(runs, BACKFILL_JOB) == [(1,)]
    timed("daemon killed after a claim, the request done by one run", started)


def kill_the_webserver(services: Services) -> None:
    started = time.monotonic()
    serve(services.service, other(generate_leagues(0.1), 0))
    services.service.provider.delay = 5
    run_id = services.launch()
    services.kill("webserver")
    services.start("webserver")
    services.wait_for(run_id, "SUCCESS")
    services.service.provider.delay = 0
    wait_for(services.loaded, seconds=90, what="the page knows the location")
    timed("webserver killed, the run unaffected", started)


def cancel_from_the_page(services: Services) -> None:
    started = time.monotonic()
    run_id = begin_fetch(services, 4)
    services.graphql(CANCEL, run=run_id)
    services.wait_for(run_id, "CANCELED", "FAILURE")
    timed(f"cancelled from the page, the run {services.status(run_id)}", started)
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
    timed("a run that hangs in the database ended by its longest runtime", started)
    assert_next_run_is_good(services, 5)
    assert services.service.query(f"SELECT count(*) FROM pg_stat_activity WHERE {RUN}") == [(0,)]


def test_every_service_may_die_and_the_next_run_is_good(services: Services) -> None:
    kill_the_run(services)
    kill_code_server_and_run(services)
    kill_the_daemon_after_a_claim(services)
    kill_the_webserver(services)
    cancel_from_the_page(services)
    hang(services)
