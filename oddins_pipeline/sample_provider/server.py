"""The HTTP side: envelope, headers, query parameters and the script of faults."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from typing_extensions import Self

from oddins_pipeline.sample_provider.faults import (
    FAULTS,
    REJECTED,
    SPELLINGS,
    Question,
    Reply,
    envelope,
    parse,
    parse_scripts,
)
from oddins_pipeline.sample_provider.filters import Query, filtered, wrong_parameter
from oddins_pipeline.sample_provider.generator import generate_leagues, pass_days
from oddins_pipeline.sample_provider.lists import generate_lists


class SampleProvider:
    """Serves on `host` while the context is open.

    `bodies` replace the generated leagues, in turn, the last one staying, and `list_bodies`
    a reference list, by path; `delay` is in
    seconds before each response; `requests` lists (monotonic time, path, query) as they come;
    `announce` is called with a line for each. `subscription_ends` is an ISO moment. The account's
    limits are enforced: a request beyond them gets the provider's error. `faults` are played from
    the start: see `faults.parse_scripts`. `days` have passed in the generated world.
    """

    def __init__(
        self,
        scale: float = 1,
        seed: int = 1,
        faults: Iterable[str] = (),
        port: int = 0,
        day_limit: int = 7500,
        minute_limit: int = 300,
        subscription_ends: str = "2099-01-01T00:00:00+00:00",
        host: str = "127.0.0.1",
        days: int = 0,
    ) -> None:
        self.entries = generate_leagues(scale, seed)
        pass_days(self.entries, days, seed)
        self.lists = generate_lists()
        self.bodies: list[bytes] | None = None
        self.list_bodies: dict[str, bytes] = {}
        self.delay = 0.0
        self.requests: list[tuple[float, str, Query]] = []
        self.day_limit = day_limit
        self.day_remaining = day_limit
        self.minute_limit = minute_limit
        self.subscription_ends = subscription_ends
        self.announce: Callable[[str], Any] = lambda _line: None
        self._scripts = parse_scripts(faults, ("/leagues", *self.lists))
        self._note_lapsed()
        self._lock = threading.Lock()
        self._full = envelope(self.entries)
        self._server = _Server((host, port), self)
        self.port = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def script(self, faults: str, path: str = "/leagues") -> None:
        """Plays these faults from the next request for `path` on."""
        self._scripts[path] = parse(faults)
        self._note_lapsed()

    def _note_lapsed(self) -> None:
        self._lapsed = any(
            name == "lapsed" for script in self._scripts.values() for name, _ in script
        )

    def serve_forever(self) -> None:
        """Serves in this thread until interrupted."""
        self.announce(
            f"sample provider on {self.url} ({len(self.entries):,} leagues); stop with Ctrl-C"
        )
        self._server.serve_forever(0.2)

    def reply(self, path: str, query: Query, key: str | None) -> Reply:
        """The response to one request."""
        with self._lock:
            self.requests.append((time.monotonic(), path, query))
            fault, argument = self._fault(path, key)
            question = Question(path, query, self._entries(path, query), argument)
            reply = FAULTS[fault](question) if fault else self._good(question)
        what = f"{path}?{urlencode(query)}" if query else path
        self.announce(f"{time.strftime('%H:%M:%S')} GET {what}: {fault or 'ok'} ({reply.status})")
        return replace(reply, body=_with_key(reply, key or "")) if reply.echo else reply

    def _fault(self, path: str, key: str | None) -> tuple[str, str]:
        """The fault of one request and its argument; empty when there is none."""
        if not key:
            return "no-key", ""
        script = self._scripts.get(path, [])
        if self._is_counted(path):
            fault, argument = script.pop(0) if script else ("", "")
            fault = self._overstepped() or fault
            self.day_remaining = max(0, self.day_remaining - 1)
            return ("", "") if fault == "ok" else (fault, argument)
        rejected = next((s[0] for s in self._scripts.values() if s and s[0][0] in REJECTED), None)
        return rejected or ("", "")

    def _is_counted(self, path: str) -> bool:
        return path == "/leagues" or path in self.lists

    def _overstepped(self) -> str:
        """The fault for a request beyond the account's limits."""
        if self.day_remaining == 0:
            return "lapsed" if self._lapsed else "quota"
        return "rate-limit" if self.minute_remaining() < 0 else ""

    def minute_remaining(self) -> int:
        """Below zero: that many too many."""
        since = time.monotonic() - 60
        lately = takewhile(lambda request: request[0] > since, reversed(self.requests))
        return self.minute_limit - sum(self._is_counted(path) for _, path, _ in lately)

    def _entries(self, path: str, query: Query) -> list[Any]:
        if path in self.lists:
            return self.lists[path]
        wrong = path == "/leagues" and wrong_parameter(query)
        return filtered(self.entries, query) if query and not wrong else self.entries

    def _good(self, question: Question) -> Reply:
        path = question.path
        if path == "/status":
            return Reply(body=self._status())
        if path == "/leagues/seasons":
            years = sorted({s["year"] for e in self.entries for s in e["seasons"]})
            return Reply(body=question.envelope(years))
        if path in self.lists:
            return Reply(body=self.list_bodies.get(path) or question.envelope())
        if path != "/leagues":
            return Reply(body=question.errors({"endpoint": "This endpoint do not exist."}))
        return Reply(body=self._leagues(question))

    def _leagues(self, question: Question) -> bytes:
        if self.bodies is not None:
            return self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        if not question.query:
            return self._full
        wrong = wrong_parameter(question.query)
        if wrong:
            return question.errors({wrong: f"The {wrong} field is not valid."})
        return question.envelope()

    def _status(self) -> bytes:
        return envelope(
            [],
            get="status",
            results=1,
            response={
                "account": {
                    "firstname": "Sample",
                    "lastname": "Account",
                    "email": "a@example.test",
                },
                "subscription": {
                    "plan": "Sample",
                    "end": self.subscription_ends,
                    "active": not self._lapsed,
                },
                "requests": {
                    "current": self.day_limit - self.day_remaining,
                    "limit_day": self.day_limit,
                },
            },
        )


def _with_key(reply: Reply, key: str) -> bytes:
    """In the first name."""
    spelled = json.dumps(f"x{SPELLINGS[reply.echo](key)}x").encode()
    return re.sub(rb'(?<="name":)"[^"]*"', lambda _: spelled, reply.body, count=1)


@lru_cache(maxsize=4)
def packed(body: bytes) -> bytes:
    """`body` by gzip, remembered: the provider's pause must not depend on the response's size."""
    return gzip.compress(body, 1)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], provider: SampleProvider) -> None:
        self.provider = provider
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        provider = cast("_Server", self.server).provider
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        reply = provider.reply(parts.path, query, self.headers.get("x-apisports-key"))
        time.sleep(provider.delay + reply.hang)
        if reply.reset:
            self._reset()
            return
        self._send(reply, provider)

    def _send(self, reply: Reply, provider: SampleProvider) -> None:
        body = reply.body
        gzipped = "gzip" in self.headers.get("Accept-Encoding", "") and len(body) > 1_000
        gzipped = gzipped and not (reply.cut or reply.drip or "Content-Encoding" in reply.headers)
        if gzipped:
            body = packed(body)
        if reply.raw:
            self._raw(reply)
            return
        self.send_response(reply.status)
        for name, value in self._headers(reply, provider).items():
            self.send_header(name, value)
        if gzipped:
            self.send_header("Content-Encoding", "gzip")
        if not reply.endless:
            self.send_header("Content-Length", str(len(body)))
        if reply.drip_headers:
            self._drip_headers(reply.drip_headers)
        self.end_headers()
        if reply.endless:
            self._endless()
        elif reply.drip:
            self._drip(body, reply.drip)
        else:
            self.wfile.write(body[: len(body) - reply.cut])
        self.close_connection = bool(reply.cut or reply.endless)

    def _headers(self, reply: Reply, provider: SampleProvider) -> dict[str, str]:
        common = {"Content-Type": "application/json", "x-oddins-sample": "1"}
        if reply.bare:
            return {**common, **reply.headers}
        return {
            **common,
            "x-ratelimit-requests-limit": str(provider.day_limit),
            "x-ratelimit-requests-remaining": str(provider.day_remaining),
            "X-RateLimit-Limit": str(provider.minute_limit),
            "X-RateLimit-Remaining": str(max(0, provider.minute_remaining())),
            **reply.headers,
        }

    def _raw(self, reply: Reply) -> None:
        for _ in range(1_000_000 if reply.endless else 1):
            self.wfile.write(reply.raw)
        self.close_connection = True

    def _drip_headers(self, pause: float) -> None:
        self.flush_headers()
        for letter in b"X-Drip: " + b"." * 1_000:
            self.wfile.write(bytes([letter]))
            time.sleep(pause)
        self.wfile.write(b"\r\n")

    def _drip(self, body: bytes, pause: float) -> None:
        for start in range(0, len(body), 100):
            self.wfile.write(body[start : start + 100])
            self.wfile.flush()
            time.sleep(pause)

    def _endless(self) -> None:
        chunk = b" " * 65_536
        for _ in range(200_000):
            self.wfile.write(chunk)

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Quiet: the client logs its requests."""
