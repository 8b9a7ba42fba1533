"""Log lines: no registered secret is visible in any of them, whatever the format."""

from __future__ import annotations

import itertools
import logging
import sys

import pytest

from oddins_pipeline.logs import JsonFormatter, TextFormatter, redact, register_secrets, sanitize

KEY = "kx93-key-of-the-log-tests"
PASSWORD = "kx93-password-of-the-log-tests"  # noqa: S105


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
