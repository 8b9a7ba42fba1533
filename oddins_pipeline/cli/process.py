"""The process around a command: its signals, and streams that may be closed or full."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ENDINGS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
GRACE = 5.0
"""Seconds in which a further signal does not interrupt what the first one leaves to be done: giving
the lock back, and recording the interruption.
"""


class Stream(io.RawIOBase):
    """A standard stream. The first error of a write is kept in `error`, not raised, and later text
    is dropped: no stream stops a command, whose exit code is decided at its end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None
        try:
            os.fstat(descriptor)
        except OSError as error:
            self.error = error
            # Or the next socket would be the stream.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor, for libraries that look at the terminal."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether a user looks at it."""
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer) -> int:
        """Writes some of `data`; says that it wrote all once the stream has failed."""
        if self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # a pipe that its reader made non-blocking
                select.select([], [self._descriptor], [])
                return self.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes

    def text(self, *, line_buffering: bool) -> io.TextIOWrapper:
        """The stream for print and click; what its encoding lacks is escaped."""
        return io.TextIOWrapper(
            io.BufferedWriter(self),
            encoding=getattr(sys.__stdout__, "encoding", None) or "utf-8",
            errors="backslashreplace",
            line_buffering=line_buffering,
        )

    @property
    def is_broken_pipe(self) -> bool:
        """Whether its reader, such as `head`, has seen enough."""
        return self.error is not None and self.error.errno == errno.EPIPE


def open_streams() -> Stream:
    """Replaces sys.stdout, sys.stderr and a closed sys.stdin; returns stdout's stream."""
    with suppress(OSError):
        Stream(0)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)  # None when it was closed
    stdout, stderr = Stream(1), Stream(2)
    sys.stdout = stdout.text(line_buffering=stdout.isatty())
    sys.stderr = stderr.text(line_buffering=True)
    return stdout


class Interrupts:
    """SIGTERM and SIGHUP interrupt a command as Ctrl-C does; which came first is remembered."""

    def __init__(self) -> None:
        self._received = b""
        self._raised_at = -GRACE
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        # Sees the signals also while Dagster's handlers are in force.
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number, handler in (
            (signal.SIGINT, self._interrupt),
            (signal.SIGTERM, self._interrupt),
            (signal.SIGHUP, _as_sigterm),
        ):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if time.monotonic() - self._raised_at >= GRACE:
            self._raised_at = time.monotonic()
            raise KeyboardInterrupt

    def first(self) -> int | None:
        """The first signal that has come, also one that a library has taken for itself."""
        with suppress(BlockingIOError):
            self._received += os.read(self._read, 4096)
        return next((number for number in self._received if number in ENDINGS), None)

    def end(self) -> int | None:
        """The exit code of the first signal, if any; from here on signals end the process."""
        for number in ENDINGS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        first = self.first()
        return 128 + first if first else None


def _as_sigterm(_number: int, _frame: FrameType | None) -> None:
    """Whoever handles SIGTERM just now handles it: Dagster knows no SIGHUP."""
    signal.raise_signal(signal.SIGTERM)
