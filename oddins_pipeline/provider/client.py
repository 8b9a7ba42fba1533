"""The HTTP client: serial, bounded in bytes, time and attempts; the key goes in one header."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from typing_extensions import Self

from oddins_pipeline.catalog.account import Account, Quota, account_of, lapsed
from oddins_pipeline.catalog.response import canonical_hash, entries_of
from oddins_pipeline.config.target import REAL_SOURCE, SAMPLE_SOURCE
from oddins_pipeline.database.payloads import Params, RawResponse
from oddins_pipeline.errors import (
    MalformedResponseError,
    ProviderError,
    ProviderFaultError,
    QuotaError,
    RateLimitError,
    TransportError,
    UsageError,
)
from oddins_pipeline.logs import register_secrets
from oddins_pipeline.provider.error_mapping import parse_or_raise, quota_of
from oddins_pipeline.provider.transport import Response, send
from oddins_pipeline.urls import is_loopback

logger = logging.getLogger(__name__)

KEY_HEADER = "x-apisports-key"
SAMPLE_HEADER = "x-oddins-sample"
MINUTE = 60.0
MIN_KEY_LENGTH = 6
MIN_PAUSE = 1.0
"""Seconds before any further attempt, also when the provider asks for none."""

T = TypeVar("T")


class Log(Protocol):
    """Where requests are counted and recorded: `database.requests.RequestLog`."""

    def try_acquire(self, path: str, params: dict[str, str]) -> tuple[int | None, float]:
        """See `RequestLog.try_acquire`."""

    def complete(self, row_id: int, *, status: int | None, outcome: str, quota: Quota) -> None:
        """See `RequestLog.complete`."""

    def save_subscription(self, account: Account) -> None:
        """See `RequestLog.save_subscription`."""


@dataclass(frozen=True)
class RequestLimits:
    """All in seconds; `max_bytes` after decompression."""

    connect: float
    read: float
    attempt: float
    total: float
    attempts: int
    max_retry_after: float
    max_bytes: int


@dataclass(frozen=True)
class Clock:
    """Time as the client sees it, so that tests need not wait."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class LeaguesResponse:
    """A good answer: `entries` is `response`, `received` what the archive keeps."""

    received: RawResponse
    entries: list[Any]
    source: str
    quota: Quota


class ApiFootball:
    """A session with the provider. Errors are those of `oddins_pipeline.errors`."""

    def __init__(
        self,
        base_url: str,
        key: str,
        timeouts: RequestLimits,
        log: Log,
        *,
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        register_secrets((key,))
        self.base_url = base_url
        self._key = key
        self._timeouts = timeouts
        self._log = log
        self._clock = clock or Clock()
        self._http = _http_client(base_url, key, timeouts, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def leagues(self, params: Params) -> LeaguesResponse:
        """`GET /leagues`: the whole list, or the part that `params` name. One request when all
        goes well. Raises ProviderError.
        """
        return self._answer("leagues", params)

    def status(self) -> Account:
        """`GET /status`, which costs no quota. Raises ProviderError.

        The account's part is personal: it is dropped here.
        """
        account = self._get("/status", {}, lambda value, _: account_of(value), attempts=1)
        self._log.save_subscription(account)
        return account

    def _answer(self, what: str, params: Params) -> LeaguesResponse:
        """A list of entries, whose path is its name, as the archive and the core take it."""
        logger.info(f"fetching {what}", extra={"path": f"/{what}", **params})

        def read(value: Any, response: Response) -> LeaguesResponse:
            logger.info("validating the response", extra={"bytes": len(response.body)})
            entries = entries_of(value)
            if _echoes_key(response.body, self._key):
                # Such an answer must not be archived, and what echoes a key is not the provider.
                raise MalformedResponseError("the answer repeats the key and is not kept")
            received = RawResponse(
                body=response.body,
                params=params,
                fetched_at=datetime.now(timezone.utc),
                sha256=canonical_hash(entries),
                results=len(entries),
            )
            return LeaguesResponse(received, entries, _source(response), quota_of(response.headers))

        try:
            answer = self._get(f"/{what}", params, read)
        except QuotaError as error:
            raise self._quota_or_subscription(error) from None
        count = answer.received.results
        logger.info(f"received {count} {what}", extra={f"{what}_received": count})
        return answer

    def _quota_or_subscription(self, error: QuotaError) -> ProviderError:
        """`errors.requests` may also mean a lapsed subscription: /status, free, tells which."""
        try:
            account = self.status()
        except ProviderError:
            return error
        return lapsed(account) or error

    def _get(
        self,
        path: str,
        params: Params,
        read: Callable[[Any, Response], T],
        *,
        attempts: int | None = None,
    ) -> T:
        started = self._clock.monotonic()

        def wait(state: RetryCallState) -> float:
            return self._pause(state, started)

        retrying = Retrying(
            retry=retry_if_exception_type((RateLimitError, ProviderFaultError, TransportError)),
            stop=stop_after_attempt(attempts or self._timeouts.attempts),
            wait=wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        result: T = retrying(self._attempt, path, params, read, started)
        return result

    def _pause(self, state: RetryCallState, started: float) -> float:
        """Seconds before the next attempt. Raises the attempt's error when that is too long."""
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, ProviderError)
        pause = _backoff(error, state.attempt_number)
        if pause > self._timeouts.max_retry_after or pause > self._left(started):
            raise type(error)(error.cause, remedy=_retry_at(pause)) from None
        logger.warning(
            "the request failed, trying again",
            extra={
                "attempt": state.attempt_number,
                "outcome": error.outcome,
                "reason": str(error),
                "pause_seconds": round(pause, 1),
            },
        )
        return pause

    def _left(self, started: float) -> float:
        """Seconds of the time for all attempts."""
        return self._timeouts.total - (self._clock.monotonic() - started)

    def _attempt(
        self, path: str, params: Params, read: Callable[[Any, Response], T], started: float
    ) -> T:
        row_id = self._acquire_slot(path, params, started)
        response: Response | None = None
        outcome = "interrupted"
        try:
            response = send(
                self._http,
                path,
                params,
                seconds=min(self._timeouts.attempt, max(MIN_PAUSE, self._left(started))),
                max_bytes=self._timeouts.max_bytes,
            )
            result = read(
                parse_or_raise(response.status, response.headers, response.body), response
            )
            outcome = "ok"
        except ProviderError as error:
            outcome = error.outcome
            raise
        else:
            return result
        finally:
            self._log.complete(
                row_id,
                status=response.status if response else None,
                outcome=outcome,
                quota=quota_of(response.headers) if response else Quota(),
            )

    def _acquire_slot(self, path: str, params: Params, started: float) -> int:
        """Waits until the minute has room, and returns the request's row."""
        while True:
            row_id, pause = self._log.try_acquire(path, params)
            if row_id is not None:
                return row_id
            if pause > self._left(started):
                raise RateLimitError(
                    "the minute's requests are taken, for longer than this may wait",
                    remedy=_retry_at(pause),
                )
            logger.info("waiting for the minute's limit", extra={"pause_seconds": round(pause, 1)})
            self._clock.sleep(pause)


def _http_client(
    base_url: str, key: str, timeouts: RequestLimits, transport: httpx.BaseTransport | None
) -> httpx.Client:
    """Raises UsageError, quoting nothing: a proxy's address may hold a password."""
    local = is_loopback(urlsplit(base_url).hostname)
    try:
        return httpx.Client(
            base_url=base_url,
            headers={KEY_HEADER: key, "accept-encoding": "gzip"},
            timeout=httpx.Timeout(timeouts.read, connect=timeouts.connect),
            # Requests are seconds or a day apart: a kept connection would only go stale.
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            # A proxy must not see what is meant for this machine.
            trust_env=not local,
            # Loading the authorities' certificates takes longer than parsing the answer.
            verify=not (local and base_url.startswith("http:")),
            transport=transport,
        )
    except (ValueError, OSError, ImportError, httpx.InvalidURL):
        raise UsageError(
            "the environment's proxy or certificates cannot be used;"
            " check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


def _backoff(error: ProviderError, attempt: int) -> float:
    """Exponential with jitter; never less than the provider asks for; a minute for its limit."""
    if isinstance(error, RateLimitError):
        asked = error.retry_after if error.retry_after is not None else MINUTE
        return max(MIN_PAUSE, asked)
    pause = min(30.0, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
    return max(pause, error.retry_after or 0.0)


def _retry_at(pause: float) -> str:
    try:
        when = datetime.fromtimestamp(time.time() + pause, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "the provider names a time beyond the calendar to come back"
    return f"waiting helps: come back after {when:%Y-%m-%d %H:%M:%S} UTC"


_ESCAPED = re.compile(rb"""\\(?:u00([2-7][0-9a-fA-F])|([/"\\]))""")


def _echoes_key(body: bytes, key: str) -> bool:
    """Whether the body holds the key, plainly or by JSON's escapes. A word too short to be a
    key, as one gives to a stand-in of the provider, may be anywhere.
    """
    if len(key) < MIN_KEY_LENGTH:
        return False
    if key.encode() in body:
        return True
    if b"\\" not in body:
        return False
    plain = _ESCAPED.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else m[2], body)
    return key.encode() in plain


def _source(response: Response) -> str:
    return SAMPLE_SOURCE if response.headers.get(SAMPLE_HEADER) == "1" else REAL_SOURCE
