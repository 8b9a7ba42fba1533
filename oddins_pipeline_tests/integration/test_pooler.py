"""PgBouncer between the sync and PostgreSQL: fine in session mode, detected in transaction mode."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from oddins_pipeline_tests.support.daemon import YAML
from oddins_pipeline_tests.support.kills import MATERIALIZE
from oddins_pipeline_tests.support.service import PGBOUNCER, Service


@contextmanager
def pgbouncer(
    url: str, directory: Path, mode: str, ignored: str = "extra_float_digits,options"
) -> Iterator[str]:
    """A pool in `mode` in front of the database; yields the address through it."""
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    name = parts.path.lstrip("/")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "users.txt").write_text('"postgres" ""\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={host} port=5432 user=postgres\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"auth_file = {directory}/users.txt\npool_mode = {mode}\nlogfile = {directory}/log\n"
        f"ignore_startup_parameters = {ignored}\n"
    )
    owner = Path(host).stat()
    os.chown(directory, owner.st_uid, owner.st_gid)
    process = subprocess.Popen(
        [PGBOUNCER, str(directory / "pgbouncer.ini")],
        user=owner.st_uid if os.geteuid() == 0 else None,  # it refuses to be root
        group=owner.st_gid if os.geteuid() == 0 else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"postgresql://postgres@127.0.0.1:{port}/{name}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(not Path(PGBOUNCER).exists(), reason="listed as left out")
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_that_breaks_session_locks_is_noticed_before_anything_is_fetched(
    service: Service, tmp_path: Path, mode: str
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="oddins-pgbouncer-") as directory,
        pgbouncer(service.database, Path(directory), mode) as through,
    ):
        done = service.sync(DATABASE_URL=through, DAGSTER_HOME=str(tmp_path))
    if mode == "session":
        assert done.code == 0, done.stderr
        return
    assert done.code == 1
    assert "a pooler in transaction mode" in done.stderr
    assert "Traceback" not in done.stderr
    assert service.provider.requests == []
    assert service.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.mark.skipif(not Path(PGBOUNCER).exists(), reason="listed as left out")
@pytest.mark.parametrize("ignored", ["extra_float_digits,options", "extra_float_digits"])
def test_dagsters_storage_behind_a_pooler_works_or_refuses_before_anything_is_fetched(
    service: Service, tmp_path: Path, ignored: str
) -> None:
    """PgBouncer 1.20 and later takes `options` for itself; earlier ones ignore or refuse it."""
    shutil.copy(YAML, tmp_path)
    with (
        tempfile.TemporaryDirectory(prefix="oddins-pgbouncer-") as directory,
        pgbouncer(service.database, Path(directory), "session", ignored) as through,
    ):
        place = {"DATABASE_URL": through, "DAGSTER_HOME": str(tmp_path)}
        done = service.sync(**place)
        run = subprocess.run(
            [sys.executable, *MATERIALIZE],
            env={**os.environ, **service.environment(), **place},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    tables = "SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tablename = 'event_logs'"
    assert service.query(tables) == []
    if done.code == run.returncode == 0:
        assert service.query("SELECT DISTINCT status FROM dagster.runs") == [("SUCCESS",)]
        return
    assert (done.code, run.returncode) == (1, 1)
    for shown in (done.logs[-1]["message"], run.stderr.splitlines()[-1]):
        assert "Dagster's storage" in shown
        assert "options" in shown
    assert service.provider.requests == []
