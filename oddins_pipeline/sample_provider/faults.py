"""Every way in which the provider has been seen to fail, by name."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What to send.

    `cut` bytes are missing at the end; `reset` closes without a word; `hang`, `drip` and
    `drip_headers` are seconds of silence before, between pieces of the body, and between
    characters of the headers; `endless` never stops; `bare` leaves the account's headers out;
    `raw` is sent as it is, in place of an HTTP response; `echo` puts the request's key in.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    reset: bool = False
    hang: float = 0
    drip: float = 0
    drip_headers: float = 0
    endless: bool = False
    bare: bool = False
    raw: bytes = b""
    echo: bool = False


def errors(key: str, text: str) -> bytes:
    """An envelope with one error."""
    return envelope([], errors={key: text})


def envelope(entries: list[Any], **changes: Any) -> bytes:
    """The provider's envelope."""
    body: dict[str, Any] = {
        "get": "leagues",
        "parameters": [],
        "errors": [],
        "results": len(entries),
        "paging": {"current": 1, "total": 1},
        "response": entries,
        **changes,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


Entries = list[Any]
Fault = Callable[[Entries, str], Reply]

_MESSAGE = b'{"message":"Something went wrong while fetching details. Try again later."}'


def _reply(key: str, text: str, status: int = 200, *, bare: bool = False) -> Fault:
    return lambda _entries, _argument: Reply(status, errors(key, text), bare=bare)


def _status(status: int) -> Fault:
    return lambda _entries, wait: Reply(status, _MESSAGE, {"Retry-After": wait} if wait else {})


def _errors(value: Any) -> Fault:
    return lambda _entries, _argument: Reply(body=envelope([], errors=value))


def _bomb(_entries: Entries, argument: str) -> Reply:
    """Spaces, `argument` MB of them, in a thousandth of that."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(int(argument or 300)))
    return Reply(body=packed + packer.flush(), headers={"Content-Encoding": "gzip"})


def _spoilt(change: Callable[[bytes], bytes]) -> Fault:
    return lambda entries, _argument: Reply(body=change(envelope(entries)))


FAULTS: dict[str, Fault] = {
    "no-key": _reply("token", "Missing application key.", 403, bare=True),
    "bad-key": _reply("token", "Error/Missing application key.", bare=True),
    "403-html": lambda _e, _a: Reply(403, b"<html><h1>Forbidden</h1></html>", bare=True),
    "suspended": _reply("access", "Your account is suspended."),
    "quota": _reply("requests", "You have reached the request limit for the day."),
    "lapsed": _reply("requests", "You have reached the request limit for the day."),
    "rate-limit": _reply("rateLimit", "Too many requests. Your limit is 10 requests per minute."),
    "429": _status(429),
    "exhausted-minute": lambda entries, _a: Reply(
        body=envelope(entries), headers={"X-RateLimit-Remaining": "0"}
    ),
    "plan": _reply("plan", "Free plans do not have access to this season."),
    "ip": _reply("Ip", "This IP is not allowed to call the API."),
    "domain": _reply("Domain", "This domain is not allowed to call the API."),
    "bad-parameter": _errors([{"season": "The Season field must contain an integer."}]),
    "unknown-error": _reply("novelty", "Something that no client knows."),
    "error": lambda _e, key: Reply(body=errors(key or "novelty", "An error by this key.")),
    "errors-string": _errors("Something went wrong."),
    "errors-list": _errors(["Something", {"access": "Your account is suspended."}]),
    "errors-with-rows": lambda entries, _a: Reply(
        body=envelope(entries, errors={"requests": "You have reached the limit for the day."})
    ),
    "markup": _reply("novelty", "\x1b[31mred\x1b[0m\x07 **bold** [link](http://x) \u202e\r\nline"),
    "bug": _reply("bug", "This is on our side."),
    "bug-204": _reply("bug", "This is on our side.", 204),
    "204": lambda _e, _a: Reply(204),
    "499": _status(499),
    "500": _status(500),
    "503": _status(503),
    "status": lambda _e, status: Reply(int(status or 418), _MESSAGE),
    "reset": lambda _e, _a: Reply(reset=True),
    "hang": lambda _e, argument: Reply(hang=float(argument or 3600), reset=True),
    "truncate": lambda entries, _a: Reply(body=envelope(entries), cut=1000),
    "not-json": lambda _e, _a: Reply(body=b"<html>Bad gateway</html>"),
    "nothing": lambda _e, _a: Reply(),
    "not-http": lambda _e, _a: Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "endless-100": lambda _e, _a: Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n", endless=True),
    "huge-headers": lambda entries, _a: Reply(
        body=envelope(entries), headers={"X-Padding": "x" * 1_000_000}
    ),
    "redirect": lambda _e, argument: Reply(
        302, headers={"Location": argument or "http://127.0.0.1:9/leagues"}
    ),
    "wrong-results": lambda entries, _a: Reply(body=envelope(entries, results=1 + len(entries))),
    "paging": lambda entries, _a: Reply(body=envelope(entries, paging={"current": 1, "total": 2})),
    "no-errors-key": lambda entries, _a: Reply(
        body=envelope(entries).replace(b'"errors":[],', b"")
    ),
    "response-not-list": lambda _e, _a: Reply(body=envelope([], response={"a": 1})),
    "empty": lambda _e, _a: Reply(body=envelope([])),
    "shrunk": lambda entries, _a: Reply(body=envelope(entries[: len(entries) * 9 // 10])),
    "huge": lambda _e, _a: Reply(endless=True),
    "gzip-bomb": _bomb,
    "bad-gzip": lambda _e, _a: Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
    "drip": lambda entries, argument: Reply(body=envelope(entries), drip=float(argument or 1)),
    "drip-headers": lambda entries, argument: Reply(
        body=envelope(entries), drip_headers=float(argument or 1)
    ),
    "echo-key": lambda entries, _a: Reply(body=envelope(entries), echo=True),
    "bom": _spoilt(lambda body: b"\xef\xbb\xbf" + body),
    "latin-1": _spoilt(lambda body: body.decode().encode("latin-1", "replace")),
    "wrong-charset": _spoilt(lambda body: body.decode().encode("utf-16")),
    "nul": _spoilt(lambda body: body.replace(b"Premier League", b"Premier\\u0000League", 1)),
    "surrogate": _spoilt(lambda body: body.replace(b"Premier League", b"Premier\\ud800League", 1)),
    "deep": lambda entries, _a: Reply(
        body=envelope(entries)[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    ),
    "absurd-date": _spoilt(lambda body: re.sub(rb'-05-\d\d"', b'-02-31"', body, count=1)),
    "duplicate-keys": _spoilt(lambda body: body.replace(b'"name":', b'"name":"Twice","name":', 1)),
    "huge-number": _spoilt(lambda body: re.sub(rb'"year":\d+', b'"year":1e400', body, count=1)),
    "huge-integer": _spoilt(
        lambda body: re.sub(rb'"year":\d+', b'"year":' + b"9" * 5_000, body, count=1)
    ),
    "unknown-field": _spoilt(lambda body: body.replace(b'"year":', b'"novelty":[],"year":', 1)),
}

REJECTED = frozenset({"no-key", "bad-key", "ip", "domain"})
"""Faults of the key and its address: /status, which uses none of them up, meets them too."""


def parse(script: str) -> list[tuple[str, str]]:
    """`rate-limit:2,429@3,429:2@3,ok` as (name, argument) pairs, one a request.

    Raises ValueError naming what is known.
    """
    found: list[tuple[str, str]] = []
    for part in filter(None, (piece.strip() for piece in script.split(","))):
        head, _, argument = part.partition("@")
        name, _, times = head.partition(":")
        if name != "ok" and name not in FAULTS:
            raise ValueError(f"unknown fault {name}; known are ok, {', '.join(FAULTS)}")
        if times and not times.isdigit():
            raise ValueError(f"{part}: the count after : must be a whole number")
        if re.fullmatch(r"[\d.]+:\d+", argument):
            raise ValueError(f"{part}: the count comes before the argument, NAME:COUNT@ARGUMENT")
        found += [(name, argument)] * (int(times) if times else 1)
    return found
