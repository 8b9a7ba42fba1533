"""What a sync shows on stderr: JSON lines, log lines, or progress for a user."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from oddins_pipeline.cli.words import shown_bytes, shown_seconds
from oddins_pipeline.logs import configure_logging, sanitize

if TYPE_CHECKING:
    from rich.text import Text

Verbosity = Literal["quiet", "normal", "verbose"]

PRINTED = ("database: ", "received ")
"""How messages begin that stay on the screen; other ones are replaced by the next."""


def log_format(context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """The log format: as given, else JSON unless stderr is a terminal."""
    return value or ("json" if context.obj.as_json else "text")


@contextmanager
def progress(log_format: str, verbosity: Verbosity) -> Iterator[None]:
    """Sends log lines to stderr in this form while the context is open."""
    level = logging.ERROR if verbosity == "quiet" else logging.INFO
    if log_format == "json" or verbosity != "normal":
        configure_logging(as_json=log_format == "json", level=level)
        yield
        return
    handler = ProgressHandler()
    configure_logging(as_json=False, handler=handler)
    try:
        yield
    finally:
        handler.stop()
        configure_logging(as_json=False, level=logging.WARNING)


@dataclass(frozen=True)
class _Countdown:
    """A message with the seconds that are left, as of each refresh."""

    message: str
    until: float

    def __rich__(self) -> Text:
        from rich.text import Text

        left = max(0, self.until - time.monotonic())
        return Text(f"{self.message}, {shown_seconds(round(left))} left")


class ProgressHandler(logging.Handler):
    """A spinner with the newest message, a countdown while waiting, and a line for what stays.

    Errors are the command's to print, once.
    """

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=False)
        self._status = self._console.status("starting")
        self._status.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Shows the record, sanitized."""
        if record.levelno >= logging.ERROR:
            return
        from rich.text import Text

        message = sanitize(_message(record))
        pause = getattr(record, "pause_seconds", None)
        if record.levelno >= logging.WARNING:
            self._console.print(Text(message, style="yellow"))
        elif message.startswith(PRINTED):
            self._console.print(Text(message, style="dim"))
        if pause is not None:
            until = time.monotonic() + pause
            if hasattr(record, "attempt"):
                message = f"waiting for attempt {_next(record)}"
            self._status.update(_Countdown(message, until))
        elif record.levelno < logging.WARNING:
            self._status.update(Text(message))

    def stop(self) -> None:
        """Takes the spinner away. Not `close`: Dagster's configuration of logging at the start of a
        run closes all handlers.
        """
        self._status.stop()


def _next(record: logging.LogRecord) -> str:
    fields = record.__dict__
    return f"{fields['attempt'] + 1} of {fields['attempts']}"


def _message(record: logging.LogRecord) -> str:
    message, fields = record.getMessage(), record.__dict__
    if "attempt" in fields:
        return f"attempt {fields['attempt']} of {fields['attempts']} failed: {fields['reason']}"
    if "bytes" in fields:
        return f"{message} ({shown_bytes(fields['bytes'])})"
    return message if "reason" not in fields else f"{message}: {fields['reason']}"
