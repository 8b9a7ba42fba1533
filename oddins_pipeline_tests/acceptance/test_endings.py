"""How a command ends: by a signal, or with streams that are closed or full."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from oddins_pipeline_tests.support.kills import Victim
from oddins_pipeline_tests.support.service import Service

ODDINS = f"{shlex.quote(sys.executable)} -m oddins_pipeline"


def requesting(service: Service, directory: Path, fault: str) -> Victim:
    """A sync whose request has reached the provider."""
    service.provider.script(fault)
    asked = len(service.provider.requests)
    victim = Victim(service, directory)
    while len(service.provider.requests) == asked:
        assert victim.process.poll() is None
        time.sleep(0.01)
    return victim


def test_every_signal_ends_a_sync_with_its_code_and_a_recorded_sentence(
    service: Service, tmp_path: Path
) -> None:
    errors = set()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        victim = requesting(service, tmp_path, "hang:20")
        victim.kill(number)
        reported = victim.end()
        assert victim.process.returncode == 128 + number, reported
        assert "Traceback" not in reported
        last = json.loads(reported.splitlines()[-1])
        assert last["message"].startswith("the sync was interrupted (")
        failing = "SELECT last_error, last_error_at FROM provider_sync_state"
        errors.update(service.query(failing))
    assert len(errors) == 3, "each signal records its own"
    assert all("interrupted" in error for error, _ in errors)


def test_a_signal_ends_a_sync_while_a_statement_of_dagsters_storage_hangs(
    service: Service, tmp_path: Path
) -> None:
    assert service.sync().code == 0
    victim = requesting(service, tmp_path, "hang:2")
    with psycopg.connect(service.database) as blocker:
        blocker.execute("LOCK TABLE dagster.event_logs, dagster.runs IN ACCESS EXCLUSIVE MODE")
        time.sleep(3)
        victim.kill(signal.SIGTERM)
        reported = victim.end()  # not after the 60 s that the statement may wait for the lock
        blocker.execute("SELECT 1")
    assert victim.process.returncode == 128 + signal.SIGTERM, reported
    assert "Traceback" not in reported
    errors = service.query("SELECT last_error FROM provider_sync_state")
    assert ["interrupted" in error for (error,) in errors] == [True]


def test_nohup_holds() -> None:
    script = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "from oddins_pipeline.cli.process import Interrupts; found = Interrupts();"
        "signal.raise_signal(signal.SIGHUP); print(found.end())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"None\n"


def test_ctrl_c_while_modules_are_imported_shows_no_trace(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, time; os.kill(os.getpid(), 2); time.sleep(9)")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-m", "oddins_pipeline", "status"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_further_signals_do_not_keep_the_first_from_being_recorded() -> None:
    script = (
        "from signal import *; from oddins_pipeline.cli.process import Interrupts\n"
        "found = Interrupts()\n"
        "try: raise_signal(SIGINT)\n"
        "except KeyboardInterrupt: [raise_signal(n) for n in (SIGINT, SIGTERM, SIGHUP)]\n"
        "print('recorded', found.end())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stdout == b"recorded 130\n"


CASES = [
    ("sync leagues --force", "> /dev/full", 0),
    ("db upgrade", ">&- 2>&-", 0),
    ("backfill 2019", ">&-", 0),
    ("watch 1", "> /dev/full", 0),
    ("watch", ">&-", 1),
    ("unwatch 1", "> /dev/full", 0),
    ("status", "> /dev/full", 1),
    ("status --json", "2> /dev/full <&-", 0),
    ("doctor", ">&- 2>&-", 1),
    ("changes --json", ">&-", 1),
    ("changes", "| :", 0),
    ("payload 1", "| :", 1),
    ("db url", "2>&-", 0),
    ("sync --help", "> /dev/full", 1),
    ("sync --help", "| :", 0),
    ("sync --nonsense", "2>&-", 2),
    ("receivers add odds", "<&-", 2),
]


def test_an_output_that_cannot_be_written_costs_only_what_it_is_worth(
    service: Service, tmp_path: Path
) -> None:
    assert service.sync().code == 0
    for command, redirection, code in CASES:
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", f"{ODDINS} {command} {redirection}"],
            env={**os.environ, **service.environment()},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (command, redirection, done.stderr)
        assert "Traceback" not in done.stderr
        if redirection in {"> /dev/full", ">&-"}:
            assert "the result could not be written: " in done.stderr.splitlines()[-1]
