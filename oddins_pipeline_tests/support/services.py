"""Code server, webserver and daemon side by side, as an operator runs them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from oddins_pipeline.orchestration.jobs import SYNC_JOB
from oddins_pipeline_tests.support.daemon import AUTOMATION, YAML, end_tree, wait_for
from oddins_pipeline_tests.support.kills import RUN
from oddins_pipeline_tests.support.service import Service

LOCATION = "oddins_pipeline.definitions"
LAUNCH = """mutation($job: String!, $tags: [ExecutionTag!]!) { launchRun(executionParams: {
  selector: {repositoryName: "__repository__", jobName: $job,
             repositoryLocationName: "oddins_pipeline.definitions"},
  runConfigData: {}, executionMetadata: {tags: $tags}}) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Services:
    """Code server, webserver and daemon, each a process of its own."""

    def __init__(self, service: Service, home: Path, environment: dict[str, str]) -> None:
        self.service, self.home = service, home
        self.environment = {**service.environment(), **AUTOMATION, **environment}
        self.code_port, self.page_port = free_port(), free_port()
        (home / "workspace.yaml").write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {self.code_port},"
            f" location_name: {LOCATION}}}\n"
        )
        self.metrics: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_all(self) -> None:
        for name in ("code server", "webserver", "daemon"):
            self.start(name)
        wait_for(self.loaded, seconds=90, what="the UI knows the location")

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
                env={**os.environ, **self.environment},
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
        response = httpx.post(url, json={"query": query, "variables": variables}, timeout=30)
        return response.json()["data"]

    def loaded(self) -> bool:
        query = "{workspaceOrError{... on Workspace{locationEntries{loadStatus}}}}"
        with suppress(httpx.HTTPError, ValueError, KeyError):
            entries = self.graphql(query)["workspaceOrError"]["locationEntries"]
            return [entry["loadStatus"] for entry in entries] == ["LOADED"]
        return False

    def launch(self, job: str = SYNC_JOB, **tags: str) -> str:
        listed = [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]
        reported = self.graphql(LAUNCH, job=job, tags=listed)["launchRun"]
        assert reported["__typename"] == "LaunchRunSuccess", reported
        return str(reported["run"]["runId"])

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
        """The process of the run running, by the name of its connection."""
        ((name,),) = self.service.query(
            f"SELECT application_name FROM pg_stat_activity WHERE {RUN}"
        )
        return psutil.Process(int(str(name).rpartition(":")[2]))


@contextmanager
def running_services(service: Service, home: Path, **environment: str) -> Iterator[Services]:
    """All three over a fresh Dagster home in `home`, until the end."""
    home.mkdir()
    # The same file; only the clocks of run monitoring run faster.
    yaml = YAML.read_text().replace("poll_interval_seconds: 30", "poll_interval_seconds: 5")
    yaml = yaml.replace("cancel_timeout_seconds: 60", "cancel_timeout_seconds: 10")
    (home / "dagster.yaml").write_text(yaml)
    running = Services(service, home, environment)
    try:
        running.start_all()
        yield running
    finally:
        service.provider.delay = 0
        running.stop()
