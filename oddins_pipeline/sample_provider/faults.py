"""Every way in which the provider has been seen to fail, by name."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What to send.

    `cut` bytes are missing at the end; `reset` closes the connection; `hang`, `drip` and
    `drip_headers` are seconds of silence before, between pieces of the body, and between
    characters of the headers; `endless` never stops; `bare` leaves the account's headers out;
    `raw` is sent as it is, in place of an HTTP response; `echo`, one of `SPELLINGS`, puts the
    request's key in.
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
    echo: str = ""


def envelope(entries: list[Any], **changes: Any) -> bytes:
    """The provider's envelope, by default that of all leagues."""
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


@dataclass(frozen=True)
class Question:
    """A request, the entries that would be its response, and the argument of its fault."""

    path: str
    query: dict[str, str]
    entries: list[Any]
    argument: str = ""

    def envelope(self, entries: list[Any] | None = None, **changes: Any) -> bytes:
        """The envelope of its response, which repeats it."""
        echo: dict[str, Any] = {"get": self.path.strip("/"), "parameters": self.query or []}
        return envelope(self.entries if entries is None else entries, **{**echo, **changes})

    def errors(self, errors: Any) -> bytes:
        """The envelope with these errors and without rows."""
        return self.envelope([], errors=errors)


Fault = Callable[[Question], Reply]
Script = list[tuple[str, str]]
"""Names of faults and their arguments, one a request."""

_MESSAGE = b'{"message":"Something went wrong while fetching details. Try again later."}'


_LIMIT_HEADERS = (
    *("x-ratelimit-requests-limit", "x-ratelimit-requests-remaining"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining"),
)


def _reply(key: str, text: str, status: int = 200, *, bare: bool = False) -> Fault:
    return lambda q: Reply(status, q.errors({key: text}), bare=bare)


def _status(status: int) -> Fault:
    return lambda q: Reply(status, _MESSAGE, {"Retry-After": q.argument} if q.argument else {})


def _errors(value: Any) -> Fault:
    return lambda q: Reply(body=q.errors(value))


def _bomb(question: Question) -> Reply:
    """Spaces, as many MB as the argument says, in a thousandth of that."""
    packer = zlib.compressobj(9, wbits=31)
    size = int(question.argument or 300)
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(size))
    return Reply(body=packed + packer.flush(), headers={"Content-Encoding": "gzip"})


def _changed(**changes: Any) -> Fault:
    return lambda q: Reply(body=q.envelope(**changes))


def _spoilt(change: Callable[[bytes], bytes]) -> Fault:
    return lambda q: Reply(body=change(q.envelope()))


def _number(number: bytes) -> Fault:
    """In place of the first year, or of a list's first id."""
    return _spoilt(
        lambda body: re.sub(rb'("year"|[\[,]{"id"):\d+', rb"\1:" + number, body, count=1)
    )


FAULTS: dict[str, Fault] = {
    "no-key": _reply("token", "Missing application key.", 403, bare=True),
    "bad-key": _reply("token", "Error/Missing application key.", bare=True),
    "403-html": lambda _q: Reply(403, b"<html><h1>Forbidden</h1></html>", bare=True),
    "firewall": lambda _q: Reply(403, b"error code: 1020", {"cf-mitigated": "block"}, bare=True),
    "not-subscribed": lambda _q: Reply(403, b'{"message":"You are not subscribed to this API."}'),
    "endpoint": _reply("endpoint", "This endpoint do not exist."),
    "suspended": _reply("access", "Your account is suspended."),
    "quota": _reply("requests", "You have reached the request limit for the day."),
    "lapsed": _reply("requests", "You have reached the request limit for the day."),
    "rate-limit": _reply("rateLimit", "Too many requests. Your limit is 10 requests per minute."),
    "minute-by-requests": lambda q: Reply(
        body=q.errors({"requests": "Too many requests. Your limit is 10 requests per minute."}),
        headers={"x-ratelimit-requests-remaining": q.argument} if q.argument else {},
    ),
    "429": _status(429),
    "no-limits": lambda q: Reply(
        body=q.envelope(),
        headers=dict.fromkeys(_LIMIT_HEADERS, "0"),
    ),
    "exhausted-minute": lambda q: Reply(body=q.envelope(), headers={"X-RateLimit-Remaining": "0"}),
    "plan": _reply("plan", "Free plans do not have access to this season."),
    "ip": _reply("Ip", "This IP is not allowed to call the API."),
    "domain": _reply("Domain", "This domain is not allowed to call the API."),
    "bad-parameter": _errors([{"season": "The Season field must contain an integer."}]),
    "unknown-error": _reply("novelty", "Something that no client knows."),
    "error": lambda q: Reply(body=q.errors({q.argument or "novelty": "An error by this key."})),
    "errors-string": _errors("Something went wrong."),
    "errors-list": _errors(["Something", {"access": "Your account is suspended."}]),
    "errors-with-rows": lambda q: Reply(
        body=q.envelope(errors={"requests": "You have reached the limit for the day."})
    ),
    "markup": _reply("novelty", "\x1b[31mred\x1b[0m\x07 **bold** [link](http://x) \u202e\r\nline"),
    "bug": _reply("bug", "This is on our side."),
    "bug-204": _reply("bug", "This is on our side.", 204),
    "204": lambda _q: Reply(204),
    "499": _status(499),
    "500": _status(500),
    "503": _status(503),
    "status": lambda q: Reply(int(q.argument or 418), _MESSAGE),
    "reset": lambda _q: Reply(reset=True),
    "hang": lambda q: Reply(hang=float(q.argument or 3600), reset=True),
    "truncate": lambda q: Reply(body=q.envelope(), cut=1000),
    "not-json": lambda _q: Reply(body=b"<html>Bad gateway</html>"),
    "nothing": lambda _q: Reply(),
    "not-http": lambda _q: Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "endless-100": lambda _q: Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n", endless=True),
    "huge-headers": lambda q: Reply(body=q.envelope(), headers={"X-Padding": "x" * 1_000_000}),
    "redirect": lambda q: Reply(
        302, headers={"Location": q.argument or "http://127.0.0.1:9/leagues"}
    ),
    "wrong-results": lambda q: Reply(body=q.envelope(results=1 + len(q.entries))),
    "paging": _changed(paging={"current": 1, "total": 2}),
    "errors-null": _changed(errors=None),
    "other-get": _changed(get="countries"),
    "other-parameters": _changed(parameters={"season": "2019"}),
    "no-errors-key": lambda q: Reply(body=q.envelope().replace(b'"errors":[],', b"")),
    "response-not-list": lambda q: Reply(body=q.envelope([], response={"a": 1})),
    "empty": lambda q: Reply(body=q.envelope([])),
    "shrunk": lambda q: Reply(body=q.envelope(q.entries[: len(q.entries) * 9 // 10])),
    "huge": lambda _q: Reply(endless=True),
    "gzip-bomb": _bomb,
    "bad-gzip": lambda _q: Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
    "drip": lambda q: Reply(body=q.envelope(), drip=float(q.argument or 1)),
    "drip-headers": lambda q: Reply(body=q.envelope(), drip_headers=float(q.argument or 1)),
    "echo-key": lambda q: Reply(body=q.envelope(), echo=q.argument or "plain"),
    "bom": _spoilt(lambda body: b"\xef\xbb\xbf" + body),
    "latin-1": _spoilt(lambda body: body.decode().encode("latin-1", "replace")),
    "wrong-charset": _spoilt(lambda body: body.decode().encode("utf-16")),
    "nul": _spoilt(lambda body: re.sub(rb'"name":"', rb'"name":"\\u0000', body, count=1)),
    "surrogate": _spoilt(lambda body: re.sub(rb'"name":"', rb'"name":"\\ud800', body, count=1)),
    "deep": lambda q: Reply(
        body=q.envelope()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    ),
    "absurd-date": _spoilt(lambda body: re.sub(rb'-05-\d\d"', b'-02-31"', body, count=1)),
    "duplicate-keys": _spoilt(lambda body: body.replace(b'"name":', b'"name":"Twice","name":', 1)),
    "huge-number": _number(b"1e400"),
    "huge-integer": _number(b"9" * 5_000),
    "unknown-field": _spoilt(lambda body: body.replace(b'"id":', b'"novelty":[],"id":', 1)),
}

SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "other-case": str.swapcase,
    "percent": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "control": "\x07".join,
    "format": "\x85".join,
    "base64": lambda key: base64.b64encode(f"{key}.".encode()).decode(),
    "base64-1": lambda key: base64.b64encode(f":{key}.".encode()).decode(),
    "base64-2": lambda key: base64.b64encode(f"u:{key}.".encode()).decode(),
}

REJECTED = frozenset({"no-key", "bad-key", "ip", "domain"})
"""Faults of the key and its address: /status, which uses none of them up, meets them too."""


def parse_scripts(faults: Iterable[str], paths: Iterable[str]) -> dict[str, Script]:
    """The script of each path. One of `faults` is played by every list, or by one: `bets=reset,ok`.
    A list is called by its path without `/odds`: `live_bets` is `/odds/live/bets`.

    Raises ValueError naming what is known.
    """
    names = {path.removeprefix("/odds").strip("/").replace("/", "_"): path for path in paths}
    found: dict[str, Script] = {path: [] for path in names.values()}
    for fault in faults:
        only = re.match(r"(\w+)=", fault)
        if only and only[1] not in names:
            raise ValueError(f"unknown list {only[1]}; known are {', '.join(names)}")
        script = parse(fault[only.end() :] if only else fault)
        for path in [names[only[1]]] if only else names.values():
            found[path] += script
    return found


def parse(script: str) -> Script:
    """`rate-limit:2,429@3,429:2@3,ok` as (name, argument) pairs, one a request.

    Raises ValueError naming what is known.
    """
    found: Script = []
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
