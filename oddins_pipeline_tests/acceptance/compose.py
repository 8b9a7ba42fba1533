"""The containers, really built and started: `make test-compose`.

Not among `make test`'s tests: it needs a Docker engine, root (it kills services as a crash would)
and about ten minutes. Both clients will do, `docker compose` and `docker-compose` 1.29.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from oddins_pipeline_tests.support.containers import (
    JOB,
    KEY,
    LAUNCH,
    PASSWORD,
    PUBLISHED,
    SERVICES,
    STATUS,
    TABLES,
    Stack,
    graphql,
    rows,
    run,
    sync,
)

LOGS = "query ($key: [String!]!) { capturedLogs(logKey: $key) { stdout stderr } }"
LOG_KEY = """
query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection {
  events { ... on LogsCapturedEvent { fileKey } } } } }
"""
INSTIGATORS = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  ... on RepositoryLocation { repositories {
    schedules { name scheduleState { status } }
    sensors { name sensorState { status } } } } } } } } }
"""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    if shutil.which("docker") is None or run("docker", "info", check=False).returncode != 0:
        pytest.exit("no Docker engine responds here: these tests need one", returncode=1)
    if os.geteuid() != 0:
        pytest.exit("these tests kill services as a crash would and need root", returncode=1)
    for port in PUBLISHED:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.exit(f"port {port} is in use on this machine", returncode=1)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The project without any `.env`."""
    empty = tmp_path_factory.mktemp("bare") / "env"
    empty.touch()
    stack = Stack(empty)
    stack.compose("build")
    yield stack
    stack.compose("down", "-v", check=False)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, with the sample provider in place of the real one."""
    settings = tmp_path_factory.mktemp("stack") / "env"
    quoted = PASSWORD.replace("'", "\\'")
    settings.write_text(
        f"APP_ENV=local\nPOSTGRES_PASSWORD='{quoted}'\nSPORTS_PROVIDER_API_KEY={KEY}\n"
        "API_FOOTBALL_BASE_URL=http://sample-provider:8765\n"
    )
    stack = Stack(settings)
    stack.compose("down", "-v")
    stack.compose("up", "-d")
    yield stack
    stack.compose("down", "-v", check=False)


def test_postgres_alone_serves_local_development_without_any_env_file(bare: Stack) -> None:
    bare.compose("up", "-d", "postgres")
    bare.wait_healthy("postgres")
    address = "postgresql://oddins:oddins_dev@localhost:5433/oddins_odds"
    with psycopg.connect(address) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


def test_everything_else_refuses_the_development_password(bare: Stack) -> None:
    refused = bare.compose("run", "--rm", "migrate", check=False)
    assert refused.returncode == 2
    assert "published development password" in refused.stdout + refused.stderr
    bare.compose("down", "-v")


def test_every_service_becomes_healthy_and_the_migration_is_done(stack: Stack) -> None:
    stack.wait_healthy()
    assert stack.container("migrate")["State"]["ExitCode"] == 0


@pytest.mark.usefixtures("stack")
def test_a_sync_from_the_ui_fills_the_tables_and_its_logs_are_there() -> None:
    run_id = sync()
    for table in TABLES:
        assert rows(f"SELECT count(*) FROM {table}")[0][0] > 100
    events = graphql(LOG_KEY, run=run_id)["logsForRun"]["events"]
    keys = [event["fileKey"] for event in events if event.get("fileKey")]
    logs = graphql(LOGS, key=[run_id, "compute_logs", keys[0]])["capturedLogs"]
    lines = [json.loads(line) for line in logs["stdout"].splitlines() if line.startswith("{")]
    assert any(line.get("countries_upserted") or line.get("run_id") == run_id for line in lines)


@pytest.mark.usefixtures("stack")
def test_the_schedule_and_the_sensors_run() -> None:
    found = graphql(INSTIGATORS)
    (location,) = found["workspaceOrError"]["locationEntries"]
    (repository,) = location["locationOrLoadError"]["repositories"]
    states = {s["name"]: s["scheduleState"]["status"] for s in repository["schedules"]}
    states |= {s["name"]: s["sensorState"]["status"] for s in repository["sensors"]}
    assert states
    assert set(states.values()) == {"RUNNING"}, states


def test_only_loopback_is_listened_on(stack: Stack) -> None:
    published = {}
    for service in SERVICES:
        for inside, bindings in stack.container(service)["NetworkSettings"]["Ports"].items():
            for binding in bindings or ():
                published[int(binding["HostPort"])] = (binding["HostIp"], inside)
    assert {port: ip for port, (ip, _) in published.items()} == dict.fromkeys(
        PUBLISHED, "127.0.0.1"
    )
    others = set(run("hostname", "-I").stdout.split())
    assert others
    for address in others:
        for port in PUBLISHED:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family) as outside:
                outside.settimeout(2)
                assert outside.connect_ex((address, port)) != 0, f"{address}:{port} is open"


def test_no_service_is_root_or_can_become_it(stack: Stack) -> None:
    for service in SERVICES:
        container = stack.container(service)
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert not host["Privileged"], service
        assert host["Memory"] > 0, service
        assert host["NanoCpus"] > 0, service
        assert not [mount for mount in container["Mounts"] if "docker.sock" in mount["Source"]]
        users = run("docker", "top", container["Id"], "-eo", "pid,uid").stdout.split()[3::2]
        assert users, service
        assert "0" not in users, service


def test_exactly_one_daemon_can_run(stack: Stack) -> None:
    refused = stack.compose("up", "-d", "--scale", "daemon=2", "--no-recreate", check=False)
    assert refused.returncode != 0
    stack.wait_healthy("daemon")


def test_secrets_are_in_no_layer_and_no_log_and_the_key_is_with_the_code_alone(
    stack: Stack,
) -> None:
    for service in SERVICES:
        environment = "\n".join(stack.container(service)["Config"]["Env"])
        assert (KEY in environment) == (service == "code"), service
        assert (PASSWORD in environment) == (service != "sample-provider"), service
        command = json.dumps(stack.container(service)["Args"])
        assert KEY not in command
        assert PASSWORD not in command
    logs = stack.compose("logs", "--no-color").stdout
    image = run("docker", "inspect", "oddins-pipeline").stdout
    image += run("docker", "history", "--no-trunc", "oddins-pipeline").stdout
    for text in (logs, image):
        assert KEY not in text
        assert PASSWORD not in text
    listed = run(
        *("docker", "run", "--rm", "--entrypoint", "find", "oddins-pipeline"),
        *("/", "-xdev", "-name", ".env*", "-not", "-path", "/proc/*"),
        check=False,
    ).stdout
    assert not [line for line in listed.splitlines() if not line.endswith("/.envrc")], listed


def test_every_service_logs_json_lines(stack: Stack) -> None:
    for service in ("code", "webserver", "daemon"):
        text = run("docker", "logs", stack.container(service)["Id"])
        lines = [x for x in (text.stdout + text.stderr).splitlines() if x.strip()]
        assert lines, service
        for line in lines:
            # A run's lines stand beside Dagster's own text, which cannot be turned off.
            if not re.search(r" - dagster - (INFO|WARNING|ERROR) - ", line):
                assert isinstance(json.loads(line), dict), f"{service}: {line}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_was_killed_comes_back_and_the_next_sync_works(
    stack: Stack, service: str
) -> None:
    before = stack.started_at(service)
    stack.kill(service)
    deadline = time.monotonic() + 60
    while stack.started_at(service) == before:
        assert time.monotonic() < deadline, "the restart policy did nothing"
        time.sleep(0.5)
    stack.wait_healthy(service)
    sync()


def test_a_code_server_that_is_stopped_lets_its_sync_end(stack: Stack) -> None:
    launched = graphql(LAUNCH, job=JOB)["launchRun"]["run"]["runId"]
    deadline = time.monotonic() + 60
    status = ""
    while status not in {"STARTED", "SUCCESS"}:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
        status = graphql(STATUS, run=launched)["runOrError"]["status"]
    stack.compose("stop", "code")
    assert graphql(STATUS, run=launched)["runOrError"]["status"] == "SUCCESS"
    assert stack.container("code")["State"]["ExitCode"] in {0, 143}
    stack.compose("start", "code")
    sync()


def test_a_start_in_the_worst_order_ends_healthy(stack: Stack) -> None:
    names = {service: stack.container(service)["Name"].lstrip("/") for service in SERVICES}
    stack.compose("stop")
    for service in ("daemon", "webserver", "code", "sample-provider", "postgres"):
        run("docker", "start", names[service])
        time.sleep(3)
    stack.wait_healthy()
    sync()


def test_the_data_survive_down(stack: Stack) -> None:
    before = rows("SELECT count(*), max(id) FROM leagues")
    stack.compose("down")
    stack.compose("up", "-d")
    stack.wait_healthy()
    assert rows("SELECT count(*), max(id) FROM leagues") == before


def test_the_read_only_page_starts_no_run(stack: Stack) -> None:
    stack.compose("--profile", "read-only", "up", "-d", "webserver-read-only")
    stack.wait_healthy("webserver-read-only")
    response = httpx.post(
        "http://127.0.0.1:3001/graphql", json={"query": LAUNCH, "variables": {"job": JOB}}
    )
    assert response.json()["data"]["launchRun"]["__typename"] == "UnauthorizedError"
    stack.compose("--profile", "read-only", "rm", "-s", "-f", "webserver-read-only")
