"""What a user sees: the command on a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oddins_pipeline_tests.support.embedded import destroy, processes_of
from oddins_pipeline_tests.support.service import Service

BROKEN = """
import threading, click
from oddins_pipeline.cli import LazyGroup, main, words
@click.command()
def in_thread():
    thread = threading.Thread(target=lambda: words.missing)
    thread.start()
    thread.join()
words.in_thread = in_thread
LazyGroup.commands_help["broken"] = ""
LazyGroup.elsewhere["broken"] = ("words", "{}")
main()
"""
ODDINS = [sys.executable, "-c", "from oddins_pipeline.cli import main; main()"]


def on_terminal(
    service: Service, *arguments: str, number: signal.Signals | None = None, **variables: str
) -> tuple[int, str]:
    """The exit code and all that a terminal of 40 columns received; with `number`, after that
    signal was sent to its process group while the provider was being asked, as Ctrl-C does.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, **service.environment(), "COLUMNS": "40", **variables}
    process = subprocess.Popen(
        [*ODDINS, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if number is not None and service.provider.requests:
            os.killpg(process.pid, number)
            number = None
        if select.select([ours], [], [], 0.1)[0]:
            try:
                data = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            shown += data
    os.close(ours)
    return process.wait(30), shown.decode()


def plain(text: str) -> list[str]:
    """The lines that stay on the screen."""
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n").split("\n")
    return [line.rpartition("\r")[2].rstrip() for line in lines if line.strip()]


def test_a_terminal_shows_a_few_lines_before_the_result(service: Service) -> None:
    code, shown = on_terminal(service, "sync", "leagues")
    assert code == 0, shown
    lines = plain(shown)
    result = next(i for i, line in enumerate(lines) if line.startswith("countries: "))
    assert result <= 5, lines
    assert any(re.match(r"received [\d,]+ leagues \(", line) for line in lines)
    assert all(len(line) <= 40 for line in lines), lines
    assert "published" in "".join(lines)
    assert "\x1b[" in shown


def test_no_color_is_respected_and_quiet_leaves_the_result_alone(service: Service) -> None:
    code, shown = on_terminal(service, "sync", "leagues", "-q", NO_COLOR="1")
    assert code == 0
    assert "\x1b[" not in shown
    assert plain(shown)[0].startswith("countries: ")


def test_a_wait_for_the_provider_is_counted_down(service: Service) -> None:
    service.provider.script("503@2,ok")
    code, shown = on_terminal(service, "sync", "leagues")
    assert code == 0, shown
    assert re.search(r"waiting for attempt 2 of 5, [12] s left", shown), shown


def test_text_and_tables_fit_into_a_narrow_terminal(service: Service) -> None:
    assert service.sync().code == 0
    for arguments in (
        ("watch", "1", "2"),
        ("unwatch", "77777"),
        ("backfill", "2021"),
        ("backfill", "1999"),
        ("receivers", "list"),
        ("statu",),
    ):
        _, shown = on_terminal(service, *arguments)
        assert all(len(line) <= 40 for line in plain(shown)), shown
    assert "Did you mean status?" in " ".join(" ".join(plain(shown)).split())


def test_color_takes_no_room(service: Service) -> None:
    refused = on_terminal(service, "payload", "77777777777")[1]
    uncolored = on_terminal(service, "payload", "77777777777", NO_COLOR="1")[1]
    assert "\x1b[31moddins:\x1b[0m" in refused
    assert plain(refused) == plain(uncolored)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sync_says_so_once_and_exits_by_its_signal(
    service: Service, number: signal.Signals
) -> None:
    service.provider.delay = 5
    code, shown = on_terminal(service, "sync", "leagues", number=number)
    assert code == 128 + number
    assert "".join(plain(shown)).count("interrupted") == 1, shown
    assert "Traceback" not in shown
    ((last_error,),) = service.query("SELECT last_error FROM provider_sync_state")
    assert "interrupted" in str(last_error)


def test_a_failure_is_printed_once_and_says_what_was_not_touched(service: Service) -> None:
    service.provider.script("suspended")
    code, shown = on_terminal(service, "sync", "leagues", COLUMNS="200")
    assert code == 1
    assert shown.count("suspended the account") == 1
    assert plain(shown)[-1] == "no table was changed"


def test_dev_ends_cleanly_by_sigterm_alone(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*ODDINS, "dev", "--port", str(port)]
    environment = {**os.environ, "ODDINS_HOME": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            assert any("starting Dagster" in line for line in process.stderr)
            time.sleep(2)  # its first helpers are there
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read().splitlines()
            assert process.wait(30) == 128 + signal.SIGTERM
            assert [json.loads(line)["message"] for line in said] == ["interrupted"]
            assert not processes_of(tmp_path), "something of Dagster is left"
        finally:
            process.kill()
            destroy(tmp_path)


@pytest.mark.parametrize("arguments", [("--season", "1850"), ("--country", " "), ()])
def test_without_a_terminal_every_line_of_stderr_is_an_object(
    service: Service, arguments: tuple[str, ...]
) -> None:
    done = service.sync(*arguments)
    assert [type(json.loads(line)) for line in done.stderr.splitlines()].count(dict) > 0


@pytest.mark.parametrize(("where", "code"), [("missing", 1), ("in_thread", 0)])
def test_a_bug_without_a_terminal_is_one_object_with_its_trace(where: str, code: int) -> None:
    command = [sys.executable, "-c", BROKEN.format(where), "broken"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    reported = json.loads(line)
    assert reported["code"] == "unexpected"
    assert "has no attribute 'missing'" in reported["message"]
    assert "Traceback" in reported["exc_info"]
