"""The embedded server, on real ones in temporary homes."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from oddins_pipeline.embedded_postgres import cluster, root, server
from oddins_pipeline.errors import EmbeddedServerError
from oddins_pipeline_tests.support.embedded import destroy, is_running
from oddins_pipeline_tests.support.service import Oddins

USER = """
import sys
from pathlib import Path
from oddins_pipeline.embedded_postgres import cluster
print(cluster.start(Path(sys.argv[1]), "oddins_sample"), flush=True)
sys.stdin.read()
"""
Process = subprocess.Popen[str]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("embedded")
    cluster.start(home, "oddins_sample")
    yield home
    destroy(home)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "other"
    destroy(tmp_path / "other")


def begin(home: Path) -> Process:
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", USER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PATH": "", "PYTHONPATH": path, "PGPORT": "9", "KEY": "seen"},
    )


def url_of(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: Process) -> None:
    for process in processes:
        process.communicate(timeout=30)


def test_one_url_serves_psycopg_psycopg2_and_sqlalchemy(shared_home: Path) -> None:
    url = cluster.start(shared_home, "oddins_sample")
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting('server_encoding')").fetchone()
    assert row == ("UTF8",)
    psycopg2.connect(url).close()
    for driver in ("psycopg", "psycopg2"):
        engine = create_engine(url.replace(":", f"+{driver}:", 1), poolclass=NullPool)
        with engine.connect() as sqlalchemy_connection:
            found = sqlalchemy_connection.scalar(text("SELECT current_database()"))
        assert found == "oddins_sample"


def test_only_its_user_can_reach_the_socket_and_the_data(shared_home: Path) -> None:
    where = Path(cluster.start(shared_home, "oddins_sample").split("host=")[1].split("&")[0])
    for path, mode in ((where, 0o700), (where / f".s.PGSQL.{server.PORT}", 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_eight_processes_at_once_share_a_new_server_and_the_last_one_stops_it(home: Path) -> None:
    processes = [begin(home) for _ in range(8)]
    urls = {url_of(process) for process in processes}
    assert len(urls) == 1
    with psycopg.connect(urls.pop()) as connection:
        connection.execute("SELECT 1")
    end(*processes[1:])
    assert is_running(home)
    end(processes[0])
    assert not is_running(home)
    assert [process.returncode for process in processes] == [0] * 8


def test_the_last_user_stops_the_server_cleanly(home: Path) -> None:
    for _ in range(2):
        process = begin(home)
        assert url_of(process)
        end(process)
    log = (cluster._directory(home) / "data" / "server.log").read_text()
    assert log.count("database system was shut down at") == 2
    assert "automatic recovery" not in log
    assert "not properly shut down" not in log


def test_a_killed_user_does_not_keep_the_server_for_ever(home: Path) -> None:
    killed = begin(home)
    url_of(killed)
    killed.kill()
    killed.communicate()
    assert is_running(home)
    begun = time.monotonic()
    other = begin(home)
    assert url_of(other)
    assert time.monotonic() - begun < 5
    end(other)
    assert not is_running(home)


def test_a_killed_server_starts_again_although_its_pid_lives_on(home: Path) -> None:
    url = cluster.start(home, "oddins_sample")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    data = cluster._directory(home) / "data"
    lines = (data / "postmaster.pid").read_text().splitlines()
    os.kill(int(lines[0]), signal.SIGKILL)
    while is_running(home):
        time.sleep(0.01)
    (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))
    with psycopg.connect(cluster.start(home, "oddins_sample")) as connection:
        connection.execute("SELECT * FROM kept")


def test_the_server_sees_nothing_of_the_environment(home: Path) -> None:
    process = begin(home)
    url_of(process)
    pid = (cluster._directory(home) / "data" / "postmaster.pid").read_text().splitlines()[0]
    environment = Path(f"/proc/{pid}/environ")
    if environment.exists():
        assert b"seen" not in environment.read_bytes()
    end(process)


@pytest.mark.parametrize("name", ["a b'c$d,e", "long" * 40])
def test_a_home_with_an_odd_or_long_path_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)  # as root, the server's user must be able to walk through
        home = Path(directory) / name
        monkeypatch.setattr(root, "ROOT_DIRECTORY", home)
        try:
            with psycopg.connect(cluster.start(home, "oddins_sample")) as connection:
                connection.execute("SELECT 1")
        finally:
            destroy(home)


def test_a_failed_start_says_where_the_log_is_and_what_to_do(home: Path) -> None:
    directory = cluster._directory(home)
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedServerError) as failure:
        cluster.start(home, "oddins_sample")
    message = str(failure.value)
    for part in ("PostgreSQL 12", "server.log", "DATABASE_URL"):
        assert part in message


def test_another_users_directory_is_not_taken_for_a_private_one(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("open", "link"):
        with pytest.raises(PermissionError, match="private"):
            root.private_directory(tmp_path / name, None)


@pytest.mark.skipif(not root.is_root(), reason="only root has another user's server")
def test_programs_under_a_closed_directory_are_copied_and_the_directory_stays_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root, "ROOT_DIRECTORY", tmp_path / "copies")
    monkeypatch.setattr(root, "_runs", lambda *_: False)
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    programs = root.binaries.__wrapped__(root.user())
    assert (tmp_path / "copies") in programs.parents
    done = root.run([programs / "postgres", "--version"], tmp_path, None, timeout=30)
    assert server.MAJOR in done.stdout
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before


def test_the_socket_of_a_dead_server_is_not_a_running_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cluster._directory(home) / "data"
    data.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        monkeypatch.chdir(data)  # its path may be too long to bind
        dead.bind(f".s.PGSQL.{server.PORT}")
    lines = ["1", str(data), "0", str(server.PORT), ".", "", "0", "ready"]
    (data / "postmaster.pid").write_text("\n".join(lines))
    assert not is_running(home)


def test_psql_leaves_nothing_running_and_no_start_is_a_recovery(oddins: Oddins, home: Path) -> None:
    for _ in range(2):
        done = oddins("db", "psql", "--", "-Atc", "SELECT 6 * 7", ODDINS_HOME=str(home))
        assert (done.code, done.stdout) == (0, "42\n"), done.stderr
        assert not is_running(home)
    log = (cluster._directory(home) / "data" / "server.log").read_text()
    assert log.count("database system is ready") == 2
    assert "not properly shut down" not in log
