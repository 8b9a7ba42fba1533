"""Log lines: no registered secret is visible in any of them, whatever the format."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from urllib.parse import quote

import pytest

from oddins_pipeline import logs
from oddins_pipeline.logs import (
    JsonFormatter,
    TextFormatter,
    configure_logging,
    holds_secret,
    redact,
    register_secrets,
    sanitize,
)

KEY = "kx93-key-of-the-log-tests"
PASSWORD = "kx93-password-of-the-log-tests"  # noqa: S105


@pytest.fixture(autouse=True)
def _forgotten_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", set())


def failed_record(message: str, *values: object, **metrics: object) -> logging.LogRecord:
    """A record as `logger.exception(message, *values, extra=metrics)` makes it."""
    try:
        raise ValueError(f"cannot connect with {PASSWORD}")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, message, values, error)
    vars(record).update(metrics)
    return record


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_a_log_line_shows_no_secret_of_its_message_metrics_or_traceback(
    formatter: logging.Formatter,
) -> None:
    register_secrets((KEY, PASSWORD))
    record = failed_record(f"sent {KEY} and %s", PASSWORD, url=f"http://user:{PASSWORD}@host/")
    line = formatter.format(record)
    assert "sent *** and ***" in line
    assert "http://user:***@host/" in line
    assert "cannot connect with ***" in line
    assert KEY not in line
    assert PASSWORD not in line


def test_a_warning_of_a_library_is_a_redacted_line_of_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register_secrets((PASSWORD,))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(logs.LOGGER), "handlers", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging(as_json=True)
        warnings.warn(f"old: {PASSWORD}", FutureWarning, stacklevel=1)
        logging.captureWarnings(False)
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "warning"
    assert "FutureWarning: old: ***" in line["message"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_secret_that_holds_another_leaves_no_remainder(
    order: tuple[int, ...], where: str
) -> None:
    # Names of their own in each case: what was registered stays registered.
    name = f"kx93-{where}-{'-'.join(map(str, order))}"
    shorter, longer, longest = {
        "start": (f"<{name}>", f"<{name}>JKL", f"<{name}>JKLMNO"),
        "middle": (f"<{name}>", f"JKL<{name}>JKL", f"MNOJKL<{name}>JKLMNO"),
        "end": (f"<{name}>", f"JKL<{name}>", f"MNOJKL<{name}>"),
    }[where]
    secrets = (shorter, longer, longest)
    register_secrets(secrets[place] for place in order)
    for secret in secrets:
        assert redact(f"a {secret} b") == "a *** b"
        assert sanitize(f"a\n{secret}\tb") == "a *** b"


KEYS = ("Kx93-Key-of-the-spellings", "kx93\\quo\"te'd%41/+&=")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "swapped": str.swapcase,
    "json": lambda key: json.dumps(key)[1:-1],
    "json-controls": lambda key: json.dumps("\x00".join(key))[1:-1],
    "json-escapes": lambda key: "".join(f"\\u{ord(letter):04X}" for letter in key),
    "repr": lambda key: repr("\x1f".join(key))[1:-1],
    "json-in-json-in-json": lambda key: "".join(rf"\\\\u{ord(letter):04x}" for letter in key),
    "hex": lambda key: key.encode().hex(),
    "hex-upper": lambda key: key.encode().hex().upper(),
    "quoted": lambda key: quote(key, safe=""),
    "percent": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "percent-twice": lambda key: "".join(f"%25{byte:02X}" for byte in key.encode()),
    "percent-controls": lambda key: quote("\n".join(key), safe=""),
    **{f"split-by-{ord(c):x}": c.join for c in "\x00\n\x1b\x7f\x85\u200b"},
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_secret_is_shown_and_the_rest_is(key: str, spelling: str) -> None:
    register_secrets(KEYS)
    text = f"before {SPELLINGS[spelling](key)} after"
    assert redact(text) == "before *** after"
    assert sanitize(text) == "before *** after"
    assert holds_secret(text.encode(), (key,))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("around", list(itertools.product(range(3), range(3))))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_shows_no_secret_at_any_alignment(
    key: str, around: tuple[int, int], encode: Callable[[bytes], bytes]
) -> None:
    register_secrets(KEYS)
    before, after = around
    encoded = encode(b"u" * before + key.encode() + b"." * after).decode()
    shown = redact(f"Basic {encoded} sent")
    assert shown.startswith("Basic ")
    assert shown.endswith(" sent")
    # What is left are the characters of its neighbors.
    assert len(shown) <= len("Basic *** sent") + 8
    letters = encoded.rstrip("=")
    assert not any(letters[start : start + 5] in shown for start in range(len(letters) - 4))


def test_overlapping_secrets_leave_no_remainder() -> None:
    register_secrets(("kx93-abcdef", "cdef-ghijkl", "ijkl-mnopqr"))
    assert redact("a kx93-abcdef-ghijkl-mnopqr b") == "a *** b"
    assert redact("a kx93-abcdefkx93-abcdef b") == "a ****** b"
    register_secrets(("kx93kx93kx",))
    assert redact("a kx93kx93kx93kx93kx b") == "a *** b"


def test_a_secret_whose_place_cannot_be_found_masks_the_whole_text() -> None:
    register_secrets((KEYS[0],))
    twice = "".join(f"%{byte:02x}" for byte in base64.b64encode(KEYS[0].encode()))
    assert redact(f"sent {twice}") == "***"


def test_a_line_of_json_stays_whole_whatever_the_password_is() -> None:
    register_secrets(("68577", "message", '"x"'))
    record = logging.LogRecord("x", logging.INFO, __file__, 1, 'the "x" of message', (), None)
    vars(record).update(lock_id=5685771, nested={"list": ["is 68577", 3, None, True]})
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "the *** of ***"
    assert line["lock_id"] == 5685771
    assert line["nested"] == {"list": ["is ***", 3, None, True]}


@pytest.mark.parametrize(
    "harmless", ["Kx93-Key-of-the-spelling", "100 % of 1%", "C:\\new\\table", "a\tb", "%zz", "\\"]
)
def test_other_texts_stay_as_they_are(harmless: str) -> None:
    register_secrets(KEYS)
    assert redact(harmless) == harmless


def test_a_key_is_found_wherever_it_stands_in_a_large_response() -> None:
    for before in range(logs.PIECE - len(KEY) - 1, logs.PIECE + 1):
        assert holds_secret(b"x" * before + KEY.upper().encode() + b"x" * 1_000, (KEY,))


def test_looking_for_the_key_does_not_copy_a_large_response() -> None:
    body = b'{"name":"Pele"}' * 200_000
    tracemalloc.start()
    assert not holds_secret(body, (KEY,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(body) / 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "pull https://bot:t0k%40en@registry/v2: denied",
            "pull https://bot:***@registry/v2: denied",
        ),
        ("redis://:pw1@a redis://:pw2@b", "redis://:***@a redis://:***@b"),
        (
            "http://[::1]:8080/a@b and https://host:80/x",
            "http://[::1]:8080/a@b and https://host:80/x",
        ),
    ],
)
def test_a_recorded_sentence_shows_no_password_of_another_services_url(
    text: str, shown: str
) -> None:
    assert sanitize(text) == shown
