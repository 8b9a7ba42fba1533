"""One JSON object a line, with the job's context, and nothing secret.

The core logs through the standard library: `logger.info("message", extra={...metrics})`.
The same records reach a terminal as text, a collector as JSON, and Dagster's event log.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from pythonjsonlogger.json import JsonFormatter as _JsonFormatter

LOGGER = "oddins_pipeline"
MASK = "***"

_secrets: set[str] = set()
_run: ContextVar[tuple[str | None, str | None]] = ContextVar("run", default=(None, None))


def register_secrets(secrets: Iterable[str]) -> None:
    """Registers texts that no log line and no message may show."""
    _secrets.update(secret for secret in secrets if len(secret) >= 3)  # noqa: PLR2004


def redact(text: str) -> str:
    """`text` without registered secrets."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def sanitize(text: str, limit: int = 1_000) -> str:
    """`text` redacted, on one line, without control characters, at most `limit` characters."""
    start = redact(text)[: limit * 10]  # whatever its length: flattening is slow
    flat = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def set_run(job: str, run_id: str) -> None:
    """Names the job and the run that the following log lines belong to."""
    _run.set((job, run_id))


class JsonFormatter(_JsonFormatter):
    """`timestamp`, `level`, `message`, `job`, `run_id` and the record's metrics."""

    def __init__(self) -> None:
        super().__init__("%(message)s", json_ensure_ascii=False)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Builds the line's fields; Dagster's own records keep their short message."""
        super().add_fields(log_data, record, message_dict)
        meta = log_data.pop("dagster_meta", None) or {}
        for noise in ("dagster_event", "dagster_event_batch_metadata", "taskName"):
            log_data.pop(noise, None)
        message = meta.get("orig_message") or record.getMessage()
        metrics = {key: value for key, value in log_data.items() if key != "message"}
        log_data.clear()
        log_data["timestamp"] = (
            datetime.fromtimestamp(record.created, timezone.utc)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        log_data["level"] = record.levelname.lower()
        log_data["message"] = message
        job, run_id = _run.get()
        log_data["job"] = meta.get("job_name") or job
        log_data["run_id"] = meta.get("run_id") or run_id
        if log_data["job"] is None:  # a command that runs none
            del log_data["job"], log_data["run_id"]
        log_data.update({k: v for k, v in metrics.items() if k not in log_data})

    def format(self, record: logging.LogRecord) -> str:
        """The line, redacted."""
        return redact(super().format(record))


class TextFormatter(logging.Formatter):
    """A short line: the message and its metrics, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """`message  (metric=value, …)`."""
        known = logging.makeLogRecord({}).__dict__.keys() | {"message", "taskName", "asctime"}
        metrics = {k: v for k, v in record.__dict__.items() if k not in known}
        tail = ", ".join(f"{key}={value}" for key, value in metrics.items())
        line = record.getMessage() + (f"  ({tail})" if tail else "")
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info))
        return redact(line)


class ForwardingHandler(logging.Handler):
    """Passes each line, as text with its metrics, to another logger."""

    def __init__(self, target: logging.Logger) -> None:
        super().__init__()
        self.target = target
        self.setFormatter(TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Logs the formatted line at the record's level."""
        self.target.log(record.levelno, self.format(record))


def configure_logging(*, as_json: bool) -> None:
    """Sends the core's log lines to stderr: JSON lines, or text for a terminal.

    Route library warnings through this handler so that they are redacted too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.getLogger().handlers = [handler]
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
