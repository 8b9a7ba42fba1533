"""One JSON object a line, with the job's context, and nothing secret.

The core logs through the standard library: `logger.info("message", extra={...figures})`.
The same records reach a terminal as progress, a file or collector as JSON, and Dagster's
event log as the story of a run.
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
JOB = "sync:leagues_seasons"
MASK = "***"

_secrets: set[str] = set()
_run_id: ContextVar[str | None] = ContextVar("run_id", default=None)


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


def set_run(run_id: str | None) -> None:
    """Names the run that the following log lines belong to."""
    _run_id.set(run_id)


class JsonFormatter(_JsonFormatter):
    """`timestamp`, `level`, `message`, `job`, `run_id` and the record's figures."""

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
        figures = {key: value for key, value in log_data.items() if key != "message"}
        log_data.clear()
        log_data["timestamp"] = (
            datetime.fromtimestamp(record.created, timezone.utc)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        log_data["level"] = record.levelname.lower()
        log_data["message"] = message
        log_data["job"] = JOB
        log_data["run_id"] = meta.get("run_id") or _run_id.get()
        log_data.update({k: v for k, v in figures.items() if k not in log_data})

    def format(self, record: logging.LogRecord) -> str:
        """The line, redacted."""
        return redact(super().format(record))


class TextFormatter(logging.Formatter):
    """A short line for a person: the message and its figures, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """`message  (figure=value, …)`."""
        known = logging.makeLogRecord({}).__dict__.keys() | {"message", "taskName", "asctime"}
        figures = {k: v for k, v in record.__dict__.items() if k not in known}
        tail = ", ".join(f"{key}={value}" for key, value in figures.items())
        line = record.getMessage() + (f"  ({tail})" if tail else "")
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info))
        return redact(line)


def configure_logging(*, as_json: bool) -> None:
    """Sends the core's log lines to stderr: JSON lines, or text for a terminal.

    Warnings of libraries take the same road, or they would be printed unredacted.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.getLogger().handlers = [handler]
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
