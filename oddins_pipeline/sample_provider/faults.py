"""Every way in which the provider has been seen to fail, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What to send; `cut` bytes are missing at the end, `reset` closes without a word."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    reset: bool = False
    hang: float = 0
    drip: float = 0
    endless: bool = False


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


def _reply(key: str, text: str, status: int = 200) -> Fault:
    return lambda _entries, _argument: Reply(status, errors(key, text))


def _status(status: int) -> Fault:
    return lambda _entries, _argument: Reply(status, _MESSAGE)


def _spoilt(change: Callable[[bytes], bytes]) -> Fault:
    return lambda entries, _argument: Reply(body=change(envelope(entries)))


FAULTS: dict[str, Fault] = {
    "no-key": _reply("token", "Missing application key.", 403),
    "bad-key": _reply("token", "Error/Missing application key."),
    "suspended": _reply("access", "Your account is suspended."),
    "quota": _reply("requests", "You have reached the request limit for the day."),
    "lapsed": _reply("requests", "You have reached the request limit for the day."),
    "rate-limit": _reply("rateLimit", "Too many requests. Your limit is 10 requests per minute."),
    "429": lambda _e, argument: Reply(429, _MESSAGE, {"Retry-After": argument} if argument else {}),
    "plan": _reply("plan", "Free plans do not have access to this season."),
    "ip": _reply("Ip", "This IP is not allowed to call the API."),
    "domain": _reply("Domain", "This domain is not allowed to call the API."),
    "bad-parameter": lambda _e, _a: Reply(
        body=envelope([], errors=[{"season": "The Season field must contain an integer."}])
    ),
    "unknown-error": _reply("novelty", "Something that no client knows."),
    "bug": _reply("bug", "This is on our side."),
    "bug-204": _reply("bug", "This is on our side.", 204),
    "499": _status(499),
    "500": _status(500),
    "503": _status(503),
    "reset": lambda _e, _a: Reply(reset=True),
    "hang": lambda _e, argument: Reply(hang=float(argument or 3600), reset=True),
    "truncate": lambda entries, _a: Reply(body=envelope(entries), cut=1000),
    "not-json": lambda _e, _a: Reply(body=b"<html>Bad gateway</html>"),
    "redirect": lambda _e, argument: Reply(
        302, headers={"Location": argument or "http://127.0.0.1:9/leagues"}
    ),
    "wrong-results": lambda entries, _a: Reply(body=envelope(entries, results=1 + len(entries))),
    "paging": lambda entries, _a: Reply(body=envelope(entries, paging={"current": 1, "total": 2})),
    "response-not-list": lambda _e, _a: Reply(body=envelope([], response={"a": 1})),
    "empty": lambda _e, _a: Reply(body=envelope([])),
    "shrunk": lambda entries, _a: Reply(body=envelope(entries[: len(entries) * 9 // 10])),
    "huge": lambda _e, _a: Reply(endless=True),
    "drip": lambda entries, argument: Reply(body=envelope(entries), drip=float(argument or 1)),
    "wrong-charset": _spoilt(lambda body: body.decode().encode("utf-16")),
    "nul": _spoilt(lambda body: body.replace(b"Premier League", b"Premier\\u0000League", 1)),
    "surrogate": _spoilt(lambda body: body.replace(b"Premier League", b"Premier\\ud800League", 1)),
    "deep": lambda entries, _a: Reply(
        body=envelope(entries)[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    ),
    "absurd-date": _spoilt(lambda body: body.replace(b'-05-01"', b'-02-31"', 1)),
}


def parse(script: str) -> list[tuple[str, str]]:
    """`rate-limit:2,429@3,ok` as (name, argument) pairs, one a request.

    Raises ValueError naming what is known.
    """
    found: list[tuple[str, str]] = []
    for part in filter(None, (piece.strip() for piece in script.split(","))):
        rest, _, times = part.partition(":") if "@" not in part else (part, "", "")
        name, _, argument = rest.partition("@")
        if name != "ok" and name not in FAULTS:
            raise ValueError(f"unknown fault {name}; known are ok, {', '.join(FAULTS)}")
        if times and not times.isdigit():
            raise ValueError(f"{part}: the count after : must be a whole number")
        found += [(name, argument)] * (int(times) if times else 1)
    return found
