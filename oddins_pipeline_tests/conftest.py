"""Shared parts: real servers, one fresh database a test, a clean environment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from oddins_pipeline.database import pool
from oddins_pipeline.embedded_postgres import cluster
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline_tests.support import namespaces
from oddins_pipeline_tests.support.embedded import destroy
from oddins_pipeline_tests.support.postgres15 import BINARIES, Postgres15
from oddins_pipeline_tests.support.service import (
    FAKETIME,
    LEFT_OUT,
    PGBOUNCER,
    Oddins,
    Outcome,
    Service,
    clone,
    upgrade_at,
)

if TYPE_CHECKING:  # each worker imports this module; unit tests need no Dagster
    import dagster as dg

OURS = ("ODDINS_", "DAGSTER_", "DATABASE_URL", "SPORTS_PROVIDER_API_KEY", "APP_ENV", "API_FOOTBALL")

# The suite's examples are the same each time; `make fuzz` looks for new ones.
_ANY = settings(deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("suite", _ANY, max_examples=100, derandomize=True)
settings.register_profile("fuzz", _ANY, max_examples=10_000, print_blob=True)
settings.load_profile("suite")


def pytest_configure() -> None:
    """Says once what this machine cannot run."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # commands would inherit from a
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # script or nohup that both are ignored
    if not BINARIES.is_dir():
        LEFT_OUT["PostgreSQL 15"] = f"{BINARIES} is not there; install postgresql-15"
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        LEFT_OUT["the UI in a browser"] = "install chromium and chromium-driver"
    if os.geteuid() != 0:
        LEFT_OUT["full disk"] = "only root may mount a small one"
    if not Path(PGBOUNCER).exists():
        LEFT_OUT["PgBouncer"] = f"{PGBOUNCER} is not there; install pgbouncer"
    if not Path(FAKETIME).exists():
        LEFT_OUT["clocks that are off"] = f"{FAKETIME} is not there; install faketime"
    reason = namespaces.problem()
    if reason:
        LEFT_OUT["network namespaces"] = reason


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Shows the metrics of the long tests, and lists what was left out and why."""
    for report in terminalreporter.getreports("passed"):
        for what, metrics in report.user_properties:
            terminalreporter.write_line(f"{what}: {metrics}")
    for what, why in LEFT_OUT.items():
        terminalreporter.write_line(f"left out: {what}: {why}")
    if not LEFT_OUT:
        terminalreporter.write_line("left out: nothing")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """CI leaves nothing out."""
    if LEFT_OUT and os.environ.get("ODDINS_TESTS_REQUIRE_ALL") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No variable, no `.env` and no embedded server of another run reaches a test."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("ODDINS_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    destroy(home)  # root's data survive pytest's directories, whose names come again
    yield
    destroy(home)
    while pool._pools:
        pool._pools.popitem()[1].dispose()


@pytest.fixture(scope="session")
def _server18() -> Iterator[str]:
    home = Path(tempfile.mkdtemp(prefix="oddins-tests-"))
    url = cluster.start(home, "oddins_template")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")  # else its end takes ten seconds
        admin.execute("SELECT pg_reload_conf()")
    yield url
    destroy(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def _server15() -> Iterator[str | None]:
    if not BINARIES.is_dir():
        yield None
        return
    with Postgres15() as server:
        yield server.url("oddins_template")


@pytest.fixture(scope="session")
def _templates(_server18: str, _server15: str | None) -> dict[int, str]:
    found = {18: _server18}
    if _server15 is not None:
        found[15] = _server15
    for url in found.values():
        upgrade_at(url)
    return found


@pytest.fixture
def database(_templates: dict[int, str]) -> str:
    """The address of a fresh, upgraded database on PostgreSQL 18."""
    return clone(_templates[18])


@pytest.fixture(scope="module")
def shared_database(_templates: dict[int, str]) -> str:
    """The address of one database for all tests of a module, which clear what they use."""
    return clone(_templates[18])


@pytest.fixture(params=[18, 15])
def any_database(request: pytest.FixtureRequest, _templates: dict[int, str]) -> str:
    """The same on each PostgreSQL that is here."""
    if request.param not in _templates:
        pytest.skip(f"PostgreSQL {request.param} is not installed")
    return clone(_templates[request.param])


@pytest.fixture
def oddins(tmp_path: Path) -> Oddins:
    """Runs `oddins` as a user does, in a process of its own."""

    def run(*arguments: str, **environment: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "oddins_pipeline", *arguments],
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def provider() -> Iterator[SampleProvider]:
    """A small sample provider on loopback."""
    with SampleProvider(scale=0.05) as running:
        yield running


@pytest.fixture
def service(oddins: Oddins, database: str, provider: SampleProvider) -> Service:
    """A configured service on PostgreSQL 18."""
    return Service(oddins, database, provider)


@pytest.fixture
def any_service(oddins: Oddins, any_database: str, provider: SampleProvider) -> Service:
    """A configured service on each PostgreSQL that is here."""
    return Service(oddins, any_database, provider)


@pytest.fixture
def instance(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance of this process, with the service's variables set."""
    import dagster as dg

    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as made:
        yield made
