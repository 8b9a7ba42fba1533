"""What a signal makes of the errors that follow it, whoever has handled it."""

from __future__ import annotations

import signal

import pytest

from oddins_pipeline.cli.context import App
from oddins_pipeline.cli.sync import _interrupts
from oddins_pipeline.errors import DatabaseError, InterruptedSyncError, RunFailedError, UsageError


@pytest.mark.parametrize(
    "error", [RunFailedError("the run failed"), DatabaseError("lost"), OSError()]
)
def test_after_a_signal_any_error_is_the_interruption(error: Exception) -> None:
    with pytest.raises(InterruptedSyncError), _interrupts(App(interrupted=lambda: signal.SIGTERM)):
        raise error
    with pytest.raises(type(error)), _interrupts(App()):
        raise error


def test_wrong_usage_stays_what_it_is() -> None:
    with pytest.raises(UsageError), _interrupts(App(interrupted=lambda: signal.SIGHUP)):
        raise UsageError("no")


def test_a_signal_that_an_import_has_swallowed_ends_the_command_before_it_opens_anything() -> None:
    with pytest.raises(KeyboardInterrupt):
        App(interrupted=lambda: signal.SIGINT).open()
