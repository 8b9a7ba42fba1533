"""HTTP, and the only module that knows its library: requests bounded in bytes and in time.

httpx's own timeouts are per read: a server that sends one byte every few seconds, in the headers
or in the body, would never exceed them. And its decoder inflates a whole chunk at once, which a
decompression bomb turns into a thousand times the memory.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.errors import MalformedResponseError, TransportError, UsageError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.urls import is_loopback, proxy_of

GZIP = 16 + zlib.MAX_WBITS

# At INFO it prints whole addresses, and a webhook's is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Response:
    """`body` is the content, decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """GET requests to one server. `mock` is an `httpx.BaseTransport` in place of the network.

    Raises UsageError, quoting nothing: a proxy's address may hold a password.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        limits: RequestLimits,
        *,
        mock: httpx.BaseTransport | None = None,
    ) -> None:
        self._limits = limits
        local = is_loopback(urlsplit(base_url).hostname)
        try:
            self._http = httpx.Client(
                base_url=base_url,
                headers=dict(headers),
                timeout=httpx.Timeout(limits.read_timeout, connect=limits.connect_timeout),
                # Requests are seconds or a day apart: a kept connection would only go stale.
                limits=httpx.Limits(max_keepalive_connections=0),
                # The key would travel to another host.
                follow_redirects=False,
                trust_env=False,
                proxy=proxy_of(base_url),
                # Loading the authorities' certificates takes longer than parsing the response.
                verify=not (local and base_url.startswith("http:")) and httpx.create_ssl_context(),
                transport=mock,
            )
        except (ValueError, OSError, ImportError, httpx.InvalidURL):
            raise UsageError(
                "the environment's proxy or certificates cannot be used;"
                " check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            ) from None

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str], *, timeout: float) -> Response:
        """One GET of at most `timeout` seconds, and never more than the limit of an attempt.

        Raises TransportError, and MalformedResponseError beyond the limit of bytes.
        """
        max_bytes = int(self._limits.max_body_mb * 1_000_000)
        seconds = min(timeout, self._limits.attempt_timeout)
        stream = self._http.stream
        with (
            _deadline(seconds) as trace,
            stream("GET", path, params=dict(params), extensions={"trace": trace}) as response,
        ):
            self._http.cookies.clear()  # the key's header is all that the provider accepts
            body = b"".join(_content(response, max_bytes))
            return Response(response.status_code, response.headers, body)


def post_json(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> int:
    """POSTs JSON and returns the status; the body is not read, so that a receiver cannot hold the
    process. Redirects are not followed: the address would travel to another host.

    Raises TransportError, quoting nothing.
    """
    try:
        proxy = proxy_of(url)
        plain = proxy is None and url.startswith("http:")
        with (
            _deadline(timeout) as trace,
            httpx.Client(
                timeout=timeout,
                follow_redirects=False,
                trust_env=False,
                proxy=proxy,
                verify=False if plain else _certificates(),
            ) as client,
            client.stream(
                "POST", url, content=body, headers=dict(headers), extensions={"trace": trace}
            ) as response,
        ):
            return response.status_code
    except TransportError as error:
        raise TransportError(error.cause.replace("provider", "receiver")) from None
    except (ValueError, OSError, ImportError) as error:
        raise TransportError(f"nothing could be sent ({type(error).__name__})") from None


@cache
def _certificates() -> ssl.SSLContext:
    """Loading the authorities' certificates takes longer than sending a message."""
    return httpx.create_ssl_context()


@contextmanager
def _deadline(seconds: float) -> Iterator[Any]:
    """Maps httpx's errors, and ends the attempt on time by shutting its connection down.

    Yields the callback that httpx calls for every connection.
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
        return TransportError(f"the response took longer than {late_after:g} s")
    if isinstance(error, httpx.TimeoutException):
        return TransportError("the provider did not respond in time")
    # Only a failed connection's text is the machine's own; others may quote what came.
    why = sanitize(str(error), 200) if isinstance(error, httpx.ConnectError) else ""
    return TransportError(f"the connection to the provider failed ({why or type(error).__name__})")


def _content(response: httpx.Response, max_bytes: int) -> Iterator[bytes]:
    """The body in pieces, inflated, never more than one byte beyond the cap in all."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise TransportError("the response's compression is not the requested one")
    pieces = response.iter_raw()
    if "gzip" in encoding:
        pieces = _inflated(pieces, max_bytes)
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise MalformedResponseError(
                f"the response is larger than {max_bytes / 1_000_000:g} MB",
                hint="nothing was written; raise ODDINS_HTTP_MAX_BODY_MB if that size is right",
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
        raise TransportError("the response's compression is broken") from None
    if started and not inflater.eof:
        raise TransportError("the response was cut off")
