"""One JSON object a line, with the job's context, and nothing secret.

The core logs through the standard library: `logger.info("message", extra={...metrics})`.
The same records reach a terminal as text, a collector as JSON, and Dagster's event log.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from pythonjsonlogger.json import JsonFormatter as _JsonFormatter

LOGGER = "oddins_pipeline"
MASK = "***"
MIN_SECRET = 3
MIN_SPELLED = 6
"""Shorter secrets are masked as they are: other spellings of them occur in any text."""
MAX_DECODINGS = 3
PIECE = 1 << 16

_ESCAPE = re.compile(rb"\\(?:(?:u(?=[0-9a-fA-F]{4})(..)|x)([0-9a-fA-F]{2})|(.))", re.DOTALL)
_CONTROL_ESCAPES = frozenset({b"n", b"r", b"t", b"b", b"f"})
_CONTROLS = bytes([*range(32), 127])
_C1_CONTROLS = re.compile(rb"\xc2[\x80-\x9f\xad]")
_FORMATS = re.compile(rb"\xe2\x80[\x8b-\x8f\xa8-\xaf]")
_KELVIN = re.compile(rb"\xe2\x84\xaa")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SPLIT = (
    r"(?:[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202f]"
    r"|%(?:25)*(?:[01][0-9a-f]|7f)|\\+(?:u00|x)(?:[01][0-9a-f]|7f)|\\+[nrtbf])*"
)

_secrets: set[str] = set()
_run: ContextVar[tuple[str | None, str | None]] = ContextVar("run", default=(None, None))


def register_secrets(secrets: Iterable[str]) -> None:
    """Registers texts that no log line and no message may show."""
    _secrets.update(secret for secret in secrets if len(secret) >= MIN_SECRET)


def redact(text: str) -> str:
    """`text` without registered secrets, in any spelling that cleaning or decoding would restore.

    All of it is masked when the place of such a spelling cannot be found.
    """
    if not _shows_secret(text):
        return text
    masked = _mask(text)
    return MASK if _shows_secret(masked) else masked


def redact_values(value: Any) -> Any:
    """The same for the texts within a value; numbers stay, so that JSON stays whole."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {redact(str(key)): redact_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(one) for one in value]
    return redact(str(value))


_URL_PASSWORD = re.compile(r"(://[^\s/@:]*:)[^\s/@]+@")


def sanitize(text: str, limit: int = 1_000) -> str:
    """`text` redacted, on one line, without control characters, at most `limit` characters; and
    without the password of any URL: a launcher's error may quote another service's.
    """
    start = redact(text)[: limit * 10]  # whatever its length: flattening is slow
    flat = redact(" ".join("".join(c if c.isprintable() else " " for c in start).split()))
    flat = _URL_PASSWORD.sub(rf"\1{MASK}@", flat)
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def holds_secret(data: bytes, secrets: Iterable[str]) -> bool:
    """Whether `data` holds one of `secrets`: plainly, in other case, split by control characters,
    escaped as in JSON, percent-encoded, or within hex or base64. A text shorter than MIN_SPELLED
    may occur anywhere and is not looked for.
    """
    known = [_needles(secret) for secret in secrets if len(secret) >= MIN_SPELLED]
    view = b""
    for view in _views(data):
        if _holds(view, [needle for plain, _ in known for needle in plain]):
            return True
    return _holds(view, [needle for _, encoded in known for needle in encoded])


def _holds(view: bytes, needles: Sequence[bytes]) -> bool:
    """Whether one of `needles` stands in `view` in any case. A response, which may be large, is
    lowered piece by piece instead of copied.
    """
    overlap = max(map(len, needles), default=0)
    return any(
        needle in piece
        for start in range(0, len(view), PIECE)
        for piece in [view[start : start + PIECE + overlap].lower()]
        for needle in needles
    )


def _shows_secret(text: str) -> bool:
    data = text.encode("utf-8", "surrogatepass")
    return any(secret in text for secret in _secrets) or holds_secret(data, _secrets)


def _views(data: bytes) -> Iterator[bytes]:
    """`data` as it is and as each round of cleaning and decoding leaves it."""
    yield data
    cleaned = _cleaned(data)
    for _ in range(MAX_DECODINGS + 1):
        if cleaned != data:
            yield cleaned
        if b"\\" not in cleaned and b"%" not in cleaned:
            return
        data, cleaned = cleaned, _cleaned(_decoded(cleaned))


def _cleaned(data: bytes) -> bytes:
    """Without control and format characters; the Kelvin sign is a K by NFC."""
    if any(control in data for control in _CONTROLS):
        data = data.translate(None, _CONTROLS)
    if data.isascii():
        return data
    return _KELVIN.sub(b"K", _FORMATS.sub(b"", _C1_CONTROLS.sub(b"", data)))


def _decoded(data: bytes) -> bytes:
    if b"\\" in data:
        # JSON's escape of a slash first: some encoders write thousands.
        data = _ESCAPE.sub(_unescaped, data.replace(b"\\/", b"/"))
    return unquote_to_bytes(data) if b"%" in data else data


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[3]:
        return b"" if match[3] in _CONTROL_ESCAPES else match[3]
    return chr(int((match[1] or b"") + match[2], 16)).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=64)
def _needles(secret: str) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """What to look for, in lower case: the secret, and its hex and its base64 at each of three
    alignments.
    """
    spelled = (secret, secret.upper(), secret.lower(), json.dumps(secret)[1:-1])
    texts = (text.encode("utf-8", "surrogatepass") for text in spelled)
    plain = [view.lower() for text in texts for view in _views(text)]
    return tuple(dict.fromkeys(plain)), tuple(
        dict.fromkeys(core.lower() for core in (*_base64_cores(secret), *_hex(secret)))
    )


def _cases(secret: str) -> list[bytes]:
    forms = dict.fromkeys((secret, secret.lower(), secret.upper()))
    return [form.encode("utf-8", "surrogatepass") for form in forms]


def _hex(secret: str) -> list[bytes]:
    return [data.hex().encode() for data in _cases(secret)]


def _base64_cores(secret: str) -> Iterator[bytes]:
    """The characters of its base64 that do not depend on what stands before and after it."""
    for data in _cases(secret):
        for before in range(3):
            core = b64encode(bytes(before) + data)[
                -(-before * 8 // 6) : (before + len(data)) * 8 // 6
            ]
            yield core
            yield core.translate(_URL_SAFE)


def _mask(text: str) -> str:
    """Each run of overlapping spellings becomes one MASK."""
    longest_first = sorted(_secrets, key=len, reverse=True)
    spelled = re.compile(f"(?=({'|'.join(map(_pattern, longest_first))}))", re.DOTALL)
    parts: list[str] = []
    done = 0
    for found in spelled.finditer(text):
        start, end = found.span(1)
        if start >= done:
            parts += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]])


@lru_cache(maxsize=64)
def _pattern(secret: str) -> str:
    """A regular expression for the spellings of a secret."""
    if len(secret) < MIN_SPELLED:
        return re.escape(secret)
    letters = _SPLIT.join(_letter(letter) for letter in secret)
    cores = "|".join(re.escape(core.decode()) for core in _base64_cores(secret))
    digits = b"|".join(_hex(secret)).decode()
    return rf"(?i:{letters}|{digits})|[\w+/-]{{0,2}}(?:{cores})[\w+/-]?={{0,2}}"


def _letter(letter: str) -> str:
    data = letter.encode("utf-8", "surrogatepass")
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in data)
    return rf"(?:\\?{re.escape(letter)}|{percent}|\\+u{ord(letter):04x}|\\+x{ord(letter):02x})"


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
        data = getattr(meta.get("dagster_event"), "event_specific_data", None)
        if failure := getattr(data, "user_failure_data", None):  # a step's
            message = failure.description
            metrics |= {key: value.value for key, value in failure.metadata.items()}
        log_data.clear()
        log_data["timestamp"] = (
            datetime.fromtimestamp(record.created, timezone.utc)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        log_data["level"] = record.levelname.lower()
        log_data["message"] = redact(message)
        job, run_id = _run.get()
        log_data["job"] = meta.get("job_name") or job
        log_data["run_id"] = meta.get("run_id") or run_id
        if log_data["job"] is None:  # a command that runs none
            del log_data["job"], log_data["run_id"]
        log_data.update({k: redact_values(v) for k, v in metrics.items() if k not in log_data})


class TextFormatter(logging.Formatter):
    """A short line: the message and its metrics, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """`message  (metric=value, …)`."""
        known = logging.makeLogRecord({}).__dict__.keys() | {"message", "taskName", "asctime"}
        metrics = {k: v for k, v in record.__dict__.items() if k not in known}
        tail = ", ".join(f"{key}={redact_values(value)}" for key, value in metrics.items())
        line = redact(record.getMessage()) + (f"  ({tail})" if tail else "")
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + redact("".join(traceback.format_exception(*record.exc_info)))
        return line


class ForwardingHandler(logging.Handler):
    """Passes each line, as text with its metrics, to another logger."""

    def __init__(self, target: logging.Logger) -> None:
        super().__init__()
        self.target = target
        self.setFormatter(TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Logs the formatted line at the record's level."""
        self.target.log(record.levelno, self.format(record))


def configure_logging(
    *, as_json: bool, level: int = logging.INFO, handler: logging.Handler | None = None
) -> None:
    """Sends the core's log lines to stderr: JSON lines, or text for a terminal; or to `handler`.

    Expected failures are no lines of the text: the command prints them, once.
    Library warnings take the same way, so that they are redacted, and JSON too.
    """
    logging.captureWarnings(as_json)
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    if not as_json:
        handler.addFilter(lambda record: record.levelno < logging.ERROR or bool(record.exc_info))
    logging.getLogger().handlers = [handler]
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def logs_json() -> bool:
    """Whether stderr carries JSON lines, and so must carry nothing else."""
    handlers = logging.getLogger(LOGGER).handlers
    return any(isinstance(handler.formatter, JsonFormatter) for handler in handlers)
