"""One HTTP send, bounded in bytes and in time whatever the other side does.

httpx's own timeouts are per read: a server that drips one byte every nine seconds, in the headers
or in the body, would never meet them. And its decoder inflates a whole chunk at once, which a
bomb turns into a thousand times the memory.
"""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from oddins_pipeline.errors import MalformedResponseError, TransportError
from oddins_pipeline.logs import sanitize

GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Response:
    """`body` is the content, decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def send(
    http: httpx.Client, path: str, params: Mapping[str, str], *, seconds: float, max_bytes: int
) -> Response:
    """One GET. Raises TransportError, and MalformedResponseError beyond `max_bytes`."""
    with (
        _deadline(seconds) as trace,
        http.stream("GET", path, params=dict(params), extensions={"trace": trace}) as response,
    ):
        http.cookies.clear()  # the key's header is all that the provider accepts
        body = b"".join(_content(response, max_bytes))
        return Response(response.status_code, response.headers, body)


@contextmanager
def _deadline(seconds: float) -> Iterator[Any]:
    """Maps httpx's errors, and ends the attempt on time by shutting its connection down.

    Yields the callback by which httpx tells of connections.
    """
    open_sockets: list[socket.socket] = []
    late = threading.Event()

    def trace(name: str, info: dict[str, Any]) -> None:
        if name.endswith((".connect_tcp.complete", ".start_tls.complete")):
            open_sockets.append(info["return_value"].get_extra_info("socket"))
            if late.is_set():  # resolving and connecting have bounds of their own
                end()

    def end() -> None:
        late.set()
        for one in open_sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        raise _transport_error(error, seconds if late.is_set() else None) from None
    finally:
        timer.cancel()
    if late.is_set():
        raise _transport_error(None, seconds)


def _transport_error(error: Exception | None, late_after: float | None) -> TransportError:
    if late_after is not None:
        return TransportError(f"the answer took longer than {late_after:g} s")
    if isinstance(error, httpx.TimeoutException):
        return TransportError("the provider did not answer in time")
    # Only a failed connection's text is the machine's own; others may quote what came.
    why = sanitize(str(error), 200) if isinstance(error, httpx.ConnectError) else ""
    return TransportError(f"the connection to the provider failed ({why or type(error).__name__})")


def _content(response: httpx.Response, max_bytes: int) -> Iterator[bytes]:
    """The body in pieces, inflated, never more than one byte beyond the cap in all."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise TransportError("the answer's compression is not the one that was asked for")
    pieces = response.iter_raw()
    if "gzip" in encoding:
        pieces = _inflated(pieces, max_bytes)
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise MalformedResponseError(
                f"the answer is larger than {max_bytes} bytes",
                remedy="nothing was written; raise ODDINS_HTTP_MAX_BODY_MB if that size is right",
            )
        yield piece


def _inflated(pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(GZIP)
    started = False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if inflater.eof:  # a further member
                    inflater = zlib.decompressobj(GZIP)
                started = True
                yield inflater.decompress(rest, max_bytes + 1)
                rest = inflater.unconsumed_tail or inflater.unused_data
    except zlib.error:
        raise TransportError("the answer's compression is broken") from None
    if started and not inflater.eof:
        raise TransportError("the answer was cut off")
