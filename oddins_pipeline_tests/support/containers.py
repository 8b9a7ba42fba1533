"""The containers of docker-compose.yml, started, looked at, killed, and asked through the UI."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

PROJECT = Path(__file__).parents[2]
NAME = "oddins-test"
UI = "http://127.0.0.1:3000"
ADDRESS = "postgresql://oddins@127.0.0.1:5433/oddins_odds"
PUBLISHED = {3000, 5433}
SERVICES = ("postgres", "code", "webserver", "daemon", "sample-provider")
KEY = "compose-key-904417"
PASSWORD = "p@ss:w/rd #%41 'q\"904417"  # noqa: S105 - of a database that lives for minutes
TABLES = ("countries", "leagues", "seasons", "season_coverage")
LAUNCH = """
mutation ($job: ExecutionParams!) {
  launchRun(executionParams: $job) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""
JOB = {
    "selector": {
        "repositoryLocationName": "oddins_pipeline.definitions",
        "repositoryName": "__repository__",
        "jobName": "sync_leagues",
    },
    "mode": "default",
}
STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def run(*command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of this machine with nothing of the caller's settings but `variables`."""
    kept = ("PATH", "HOME", "DOCKER_", "LANG")
    environment = {k: v for k, v in os.environ.items() if k.startswith(kept)}
    done = subprocess.run(
        command,
        env={**environment, **variables},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


def client() -> list[str]:
    if shutil.which("docker") and run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


@dataclass(frozen=True)
class Stack:
    """The containers of one project."""

    env_file: Path

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        options = ["-p", NAME, "--env-file", str(self.env_file), "--profile", "sample"]
        return run(*client(), *options, *arguments, check=check)

    def container(self, service: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(
            run("docker", "inspect", self.compose("ps", "-a", "-q", service).stdout.strip()).stdout
        )
        return found[0]

    def wait_healthy(self, *services: str, seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        waiting = set(services or SERVICES)
        while waiting:
            for service in list(waiting):
                state = self.container(service)["State"]
                if state["Running"] and state["Health"]["Status"] == "healthy":
                    waiting.discard(service)
            assert time.monotonic() < deadline, f"not healthy after {seconds} s: {waiting}"
            time.sleep(1)

    def started_at(self, service: str) -> str:
        return str(self.container(service)["State"]["StartedAt"])

    def kill(self, service: str) -> None:
        """As a crash would: the restart policy does not count `docker kill`."""
        os.kill(self.container(service)["State"]["Pid"], signal.SIGKILL)


def graphql(query: str, **variables: object) -> Any:
    """The response's data; a UI that is only just starting is asked again."""
    deadline = time.monotonic() + 120
    body = {"query": query, "variables": variables}
    while True:
        with contextlib.suppress(httpx.TransportError):
            response = httpx.post(f"{UI}/graphql", json=body, timeout=30)
            if response.status_code == httpx.codes.OK:
                return response.json()["data"]
        assert time.monotonic() < deadline, "the UI does not respond"
        time.sleep(2)


def sync() -> str:
    """Launches the job as the UI's button does; returns the run's id when it has succeeded."""
    deadline = time.monotonic() + 240
    while True:
        launched = graphql(LAUNCH, job=JOB)["launchRun"]
        if launched["__typename"] == "LaunchRunSuccess":
            break
        assert time.monotonic() < deadline, launched  # the code server is only just starting
        time.sleep(2)
    run_id = str(launched["run"]["runId"])
    status = ""
    while status != "SUCCESS":
        assert time.monotonic() < deadline, f"the run is {status}"
        assert status not in {"FAILURE", "CANCELED"}, f"run {run_id}: {status}"
        time.sleep(1)
        status = graphql(STATUS, run=run_id)["runOrError"]["status"]
    return run_id


def rows(statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(ADDRESS, password=PASSWORD) as connection:
        return connection.execute(statement.encode()).fetchall()
