"""The key and the database's password, looked for in everything that a process wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from oddins_pipeline_tests.support.service import Service

PASSWORD = "pa%ss'w\u00f6rd-7261"  # noqa: S105


def with_password(url: str) -> str:
    """The server trusts everybody; the client has a password all the same."""
    return url.replace("postgres@", f"postgres:{quote(PASSWORD)}@", 1)


def assert_hidden(service: Service, directory: Path, key: str, *texts: str) -> None:
    percent = "".join(f"%{byte:02X}" for byte in key.encode())
    forms = {key, PASSWORD, quote(PASSWORD), quote(key, safe=""), key.replace('"', '\\"'), percent}
    found = list(texts)
    found += [
        path.read_bytes().decode(errors="replace")
        for path in directory.rglob("*")
        if path.is_file()
    ]
    tables = service.query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname IN ('public', 'dagster')"
    )
    for (table,) in tables:
        found += [row[0] for row in service.query(f"SELECT t::text FROM {table} t")]
    for text in found:
        for form in forms:
            assert form not in text


@pytest.mark.parametrize("key", ["plain-key-83625", "quo\"te'd%41\\83625"])
def test_no_secret_is_left_anywhere_after_success_and_every_failure(
    service: Service, tmp_path: Path, key: str
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    variables = {
        "SPORTS_PROVIDER_API_KEY": key + "\n",
        "DATABASE_URL": with_password(service.database),
        "ODDINS_HTTP_ATTEMPTS": "1",
        "TMPDIR": str(temporary),
    }
    written = []
    faults = ("bad-key", "shrunk", "reset", "not-json", "echo-key", "echo-key@percent")
    for fault, code in (("", 0), *((fault, 1) for fault in faults)):
        service.provider.script(fault)
        done = service.sync(**variables)
        assert done.code == code, done.stderr
        written += [done.stdout, done.stderr]
    for command in (["status", "--json"], ["doctor"], ["db", "url"]):
        done = service.run(*command, **{**service.environment(), **variables})
        written += [done.stdout, done.stderr]
    assert_hidden(service, tmp_path, key, *written)


def test_no_secret_is_left_by_a_run_that_dagster_starts(service: Service, tmp_path: Path) -> None:
    key = "quo\"te'd%41\\83625"
    home = tmp_path / "dagster_home"
    home.mkdir()
    service.provider.script("bad-key")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("--select", "*", "-m", "oddins_pipeline.definitions"),
        ],
        env={
            **os.environ,
            **service.environment(),
            "SPORTS_PROVIDER_API_KEY": key + "\r\n",
            "DATABASE_URL": with_password(service.database),
            "DAGSTER_HOME": str(home),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "the provider rejects the key" in done.stderr
    assert_hidden(service, tmp_path, key, done.stdout, done.stderr)
