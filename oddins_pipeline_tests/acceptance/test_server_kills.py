"""What happens to the database's server in the middle of a sync: restarts, and a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oddins_pipeline.sample_provider import SampleProvider, generate_leagues
from oddins_pipeline_tests.support.kills import Victim, content_now, content_of, other, when
from oddins_pipeline_tests.support.postgres15 import BINARIES, Postgres15
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Oddins, Service, upgrade_at

pytestmark = pytest.mark.skipif(not BINARIES.is_dir(), reason="listed as left out")


@pytest.fixture
def server() -> Iterator[Postgres15]:
    with Postgres15() as running:
        yield running


@pytest.mark.parametrize(
    "query", ["%pg_advisory_xact_lock%", "WITH diff%"], ids=["fetching", "merging"]
)
def test_a_restart_of_the_server_costs_one_sync_and_nothing_else(
    oddins: Oddins, server: Postgres15, provider: SampleProvider, tmp_path: Path, query: str
) -> None:
    service = Service(oddins, server.url("oddins_template"), provider)
    upgrade_at(service.database)
    entries = generate_leagues(1)
    serve(service, entries)
    assert service.sync().code == 0
    serve(service, other(entries, 1))
    provider.delay = 1
    reached = when(service, query, "pg_sleep(0)")
    victim = Victim(service, tmp_path)
    assert reached.wait(60)
    server.stop()
    server.start()
    assert "Traceback" not in victim.end()
    assert victim.process.returncode == 1
    assert content_now(service) == content_of(entries)
    failing = "SELECT last_error_at > last_synced_at FROM provider_sync_state"
    assert service.query(failing) == [(True,)]
    assert service.sync("--force").code == 0
    assert content_now(service) == content_of(other(entries, 1))


@pytest.mark.soak
def test_an_outage_is_one_sentence_and_the_sync_after_it_ends_the_run(
    oddins: Oddins, server: Postgres15, provider: SampleProvider, tmp_path: Path
) -> None:
    service = Service(oddins, server.url("oddins_template"), provider)
    upgrade_at(service.database)
    assert service.sync().code == 0
    provider.delay = 2
    victim = Victim(service, tmp_path)
    while len(provider.requests) < 2:
        time.sleep(0.05)
    server.stop()
    reported = victim.end()
    server.start()
    assert victim.process.returncode == 1
    assert "Traceback" not in reported
    assert '"message": "the database' in reported
    assert service.query("SELECT status FROM dagster.runs ORDER BY id") == [
        ("SUCCESS",),
        ("STARTED",),
    ]
    assert service.sync().code == 0
    assert service.query("SELECT status FROM dagster.runs ORDER BY id") == [
        ("SUCCESS",),
        ("FAILURE",),
        ("SUCCESS",),
    ]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 80 MB."""
    directory = Path(tempfile.mkdtemp(prefix="oddins-disk-", dir="/tmp"))
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        shutil.rmtree(directory)
        pytest.skip("this user may not mount")
    directory.chmod(0o755)
    yield directory
    subprocess.run(["/bin/umount", "-l", str(directory)], check=False)
    shutil.rmtree(directory)


def test_a_full_disk_is_one_sentence_and_the_sync_after_it_is_good(
    oddins: Oddins, small_disk: Path, provider: SampleProvider
) -> None:
    data = small_disk / "data"
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, "postgres", "postgres")
    with Postgres15(data) as server:
        service = Service(oddins, server.url("oddins_template"), provider)
        upgrade_at(service.database)
        entries = generate_leagues(1)
        serve(service, entries[:100])
        assert service.sync().code == 0
        filler = small_disk / "filler"
        free = shutil.disk_usage(small_disk).free
        filler.write_bytes(bytes(free - 1_000_000))
        serve(service, entries)
        done = service.sync("--force")
        assert done.code == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert content_now(service) == content_of(entries[:100])
        filler.unlink()
        assert service.sync("--force").code == 0
        assert content_now(service) == content_of(entries)
