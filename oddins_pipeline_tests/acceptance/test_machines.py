"""Several machines against one PostgreSQL: syncs stay single, also when one machine vanishes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from oddins_pipeline_tests.support.namespaces import CLIENTS, Machines
from oddins_pipeline_tests.support.postgres15 import Postgres15
from oddins_pipeline_tests.support.service import KEY, LEFT_OUT, Outcome

pytestmark = pytest.mark.skipif(
    bool({"network namespaces", "PostgreSQL 15"} & set(LEFT_OUT)),
    reason="needs network namespaces and PostgreSQL 15",
)
PROVIDER_PORT = 8765
SLOW = "drip@0.002"
"""A response that takes some seconds, so that its sync is seen running."""


@dataclass(frozen=True)
class Site:
    """Two machines with `oddins` on them, and the server between."""

    machines: Machines
    postgres: Postgres15
    directory: Path

    def start(self, machine: str, *arguments: str) -> subprocess.Popen[str]:
        """`oddins …` on that machine, in the background."""
        url = f"postgresql://postgres@{self.machines.server_address(machine)}/oddins_template"
        return subprocess.Popen(
            self.machines.on(machine, sys.executable, "-m", "oddins_pipeline", *arguments),
            env={
                **os.environ,
                "DATABASE_URL": url,
                "SPORTS_PROVIDER_API_KEY": KEY,
                "API_FOOTBALL_BASE_URL": f"http://127.0.0.1:{PROVIDER_PORT}",
                "ODDINS_HTTP_READ_TIMEOUT": "600",
                "ODDINS_HOME": str(self.directory / machine),
            },
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, machine: str, *arguments: str) -> Outcome:
        process = self.start(machine, *arguments)
        stdout, stderr = process.communicate(timeout=200)
        return Outcome(process.returncode, stdout, stderr)

    @contextmanager
    def provider(self, machine: str, fault: str = "") -> Iterator[None]:
        """A sample provider beside the machine's `oddins`."""
        process = self.start(
            machine,
            "sample-provider",
            "--port",
            str(PROVIDER_PORT),
            "--scale",
            "0.05",
            "--fault",
            fault,
        )
        assert process.stdout is not None
        assert "sample provider on" in process.stdout.readline()
        yield
        process.kill()
        process.communicate()

    def lock_holders(self) -> list[tuple[object, ...]]:
        with psycopg.connect(self.postgres.url("oddins_template")) as connection:
            return connection.execute(
                "SELECT a.client_addr::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE l.locktype = 'advisory' AND l.granted"
            ).fetchall()

    def wait_for_lock(self) -> None:
        deadline = time.monotonic() + 60
        while not self.lock_holders():
            assert time.monotonic() < deadline, "the first sync never took the lock"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Machines() as machines:
        inside = tuple(machines.on("server"))
        access = "host all all 198.18.0.0/15 trust"
        with Postgres15(prefix=inside, listen="*", access=access) as postgres:
            made = Site(machines, postgres, tmp_path_factory.mktemp("site"))
            assert made.run("a", "db", "upgrade").code == 0
            yield made


def test_the_lock_keeps_syncs_single_across_machines(site: Site) -> None:
    with site.provider("a", SLOW), site.provider("b"):
        first = site.start("a", "sync", "leagues", "--json")
        site.wait_for_lock()
        refused = site.run("b", "sync", "leagues", "--json")
        waited = site.run("b", "sync", "leagues", "--json", "--lock-timeout", "120")
        stdout, stderr = first.communicate(timeout=120)
    assert first.returncode == 0, stderr
    assert refused.code == 75
    assert "another sync holds the lock: oddins sync" in refused.stderr
    assert waited.code == 0, waited.stderr
    with psycopg.connect(site.postgres.url("oddins_template")) as connection:
        sent = connection.execute("SELECT count(*) FROM provider_requests").fetchone()
        payloads = connection.execute("SELECT count(*) FROM provider_payloads").fetchone()
    assert sent == (2,)
    assert payloads == (1,), f"{stdout}\n{waited.stdout}"


@pytest.mark.soak  # about a minute, of which the server's keepalives are 50 s
def test_the_lock_of_a_machine_that_vanished_is_free_within_two_minutes(site: Site) -> None:
    with site.provider("a", "hang@600"), site.provider("b"):
        vanished = site.start("a", "sync", "leagues")
        site.wait_for_lock()
        time.sleep(2)  # it waits for the provider's response now; its connection is silent
        site.machines.vanish("a")
        since = time.monotonic()
        try:
            assert [CLIENTS["a"]] == [int(str(h[0]).split(".")[2]) for h in site.lock_holders()]
            done = site.run("b", "sync", "leagues", "--json", "--lock-timeout", "120")
        finally:
            vanished.kill()
            vanished.communicate()
    seconds = time.monotonic() - since
    assert done.code == 0, done.stderr
    assert 10 < seconds < 120
    sys.stdout.write(f"the lock was free and the next sync done after {seconds:.0f} s\n")
