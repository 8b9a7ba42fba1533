"""The HTTP client: serial, bounded in bytes, time and attempts; the key goes in one header."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from typing_extensions import Self

from oddins_pipeline.catalog.answer import canonical_hash, entries_of
from oddins_pipeline.database.archive import Params, Received
from oddins_pipeline.database.requests import Quota
from oddins_pipeline.errors import (
    MalformedAnswerError,
    ProviderError,
    ProviderFaultError,
    QuotaError,
    RateLimitError,
    SubscriptionError,
    TransportError,
)
from oddins_pipeline.provider.verdict import judge, quota_of
from oddins_pipeline.target import REAL_SOURCE, SAMPLE_SOURCE

logger = logging.getLogger(__name__)

KEY_HEADER = "x-apisports-key"
SAMPLE_HEADER = "x-oddins-sample"
MINUTE = 60.0


class Log(Protocol):
    """Where requests are counted and recorded: `database.requests.RequestLog`."""

    def begin(self, path: str, params: dict[str, str]) -> tuple[int | None, float]:
        """See `RequestLog.begin`."""

    def complete(self, row_id: int, *, status: int | None, outcome: str, quota: Quota) -> None:
        """See `RequestLog.complete`."""


@dataclass(frozen=True)
class Timeouts:
    """All in seconds; `max_bytes` after decompression."""

    connect: float
    read: float
    attempt: float
    total: float
    attempts: int
    longest_wait: float
    max_bytes: int


@dataclass(frozen=True)
class Clock:
    """Time as the client sees it, so that tests need not wait."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Answer:
    """A good answer: `entries` is `response`, `received` what the archive keeps."""

    received: Received
    entries: list[Any]
    source: str
    quota: Quota


class ApiFootball:
    """A session with the provider. Errors are those of `oddins_pipeline.errors`."""

    def __init__(
        self,
        base_url: str,
        key: str,
        timeouts: Timeouts,
        log: Log,
        *,
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url
        self._key = key
        self._timeouts = timeouts
        self._log = log
        self._clock = clock or Clock()
        self._http = httpx.Client(
            base_url=base_url,
            headers={KEY_HEADER: key, "accept-encoding": "gzip"},
            timeout=httpx.Timeout(timeouts.read, connect=timeouts.connect),
            follow_redirects=False,
            trust_env=not _is_local(base_url),
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def leagues(self, params: Params) -> Answer:
        """`GET /leagues`: the whole list, or the part that `params` name. One request when all
        goes well. Raises ProviderError.
        """
        logger.info("fetching leagues", extra={"path": "/leagues", **params})
        try:
            value, response = self._get("/leagues", params)
        except QuotaError as error:
            raise self._quota_or_subscription(error) from None
        logger.info("validating the response", extra={"bytes": len(response.body)})
        entries = entries_of(value)
        if self._key.encode() in response.body:
            # Such an answer must not be archived, and what echoes a key is not the provider.
            raise MalformedAnswerError("the answer repeats the key and is not kept")
        received = Received(
            body=response.body,
            params=params,
            fetched_at=datetime.now(timezone.utc),
            sha256=canonical_hash(entries),
            results=len(entries),
        )
        logger.info(f"received {len(entries)} leagues", extra={"leagues_received": len(entries)})
        return Answer(received, entries, response.source, response.quota)

    def status(self) -> dict[str, Any]:
        """`GET /status`, which costs no quota: `subscription` and `requests` only.

        The account's part is personal and dropped here. Raises ProviderError.
        """
        value, _ = self._get("/status", {}, attempts=1)
        response = value.get("response") if isinstance(value, dict) else None
        if not isinstance(response, dict):
            raise MalformedAnswerError("the answer to /status has no `response`")
        return {part: response.get(part) or {} for part in ("subscription", "requests")}

    def _quota_or_subscription(self, error: QuotaError) -> ProviderError:
        """`errors.requests` may also mean a lapsed subscription: /status, free, tells which."""
        try:
            subscription = self.status()["subscription"]
        except ProviderError:
            return error
        if subscription.get("active") is False:
            return SubscriptionError(
                f"the provider's subscription has lapsed (end: {subscription.get('end')});"
                " renew it in the provider's dashboard"
            )
        return error

    def _get(
        self, path: str, params: Params, *, attempts: int | None = None
    ) -> tuple[Any, _Response]:
        started = self._clock.monotonic()
        limits = self._timeouts

        def wait(state: RetryCallState) -> float:
            return self._pause(state, started)

        retrying = Retrying(
            retry=retry_if_exception_type((RateLimitError, ProviderFaultError, TransportError)),
            stop=stop_after_attempt(attempts or limits.attempts),
            wait=wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        result: tuple[Any, _Response] = retrying(self._attempt, path, params, started)
        return result

    def _pause(self, state: RetryCallState, started: float) -> float:
        """Seconds before the next attempt. Raises the attempt's error when that is too long."""
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, ProviderError)
        if isinstance(error, RateLimitError):
            pause = error.retry_after if error.retry_after is not None else MINUTE
        else:
            pause = min(30.0, 2.0 ** (state.attempt_number - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
        spent = self._clock.monotonic() - started
        if pause > self._timeouts.longest_wait or spent + pause > self._timeouts.total:
            come_back = datetime.fromtimestamp(time.time() + pause, timezone.utc)
            raise type(error)(
                f"{error}; come back after {come_back:%Y-%m-%d %H:%M:%S} UTC"
            ) from None
        logger.warning(
            "the request failed, trying again",
            extra={
                "attempt": state.attempt_number,
                "outcome": error.outcome,
                "pause_seconds": round(pause, 1),
            },
        )
        return pause

    def _attempt(self, path: str, params: Params, started: float) -> tuple[Any, _Response]:
        row_id = self._permission(path, params, started)
        response: _Response | None = None
        outcome = "interrupted"
        try:
            response = self._exchange(path, params)
            value = judge(response.status, response.headers, response.body)
            outcome = "ok"
        except ProviderError as error:
            outcome = error.outcome
            raise
        else:
            return value, response
        finally:
            self._log.complete(
                row_id,
                status=response.status if response else None,
                outcome=outcome,
                quota=response.quota if response else Quota(),
            )

    def _permission(self, path: str, params: Params, started: float) -> int:
        """Waits until the minute has room, and returns the request's row."""
        while True:
            row_id, pause = self._log.begin(path, params)
            if row_id is not None:
                return row_id
            if self._clock.monotonic() - started + pause > self._timeouts.total:
                raise RateLimitError(
                    "no request is free within the time that a sync may take; try again later"
                )
            logger.info("waiting for the minute's limit", extra={"pause_seconds": round(pause, 1)})
            self._clock.sleep(pause)

    def _exchange(self, path: str, params: Params) -> _Response:
        """One request: its status, headers and whole body. Raises TransportError."""
        deadline = self._clock.monotonic() + self._timeouts.attempt
        try:
            with self._http.stream("GET", path, params=params) as response:
                chunks: list[bytes] = []
                size = 0
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if size > self._timeouts.max_bytes:
                        raise MalformedAnswerError(
                            f"the answer is larger than {self._timeouts.max_bytes} bytes;"
                            " raise ODDINS_HTTP_MAX_BODY_MB if that is right"
                        )
                    if self._clock.monotonic() > deadline:
                        raise TransportError(
                            f"the answer took longer than {self._timeouts.attempt:g} s"
                        )
                    chunks.append(chunk)
                return _Response(response.status_code, response.headers, b"".join(chunks))
        except httpx.TimeoutException:
            raise TransportError("the provider did not answer in time") from None
        except httpx.DecodingError:
            raise TransportError("the answer's compression is broken") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise TransportError(
                f"the connection to the provider failed ({type(error).__name__})"
            ) from None


@dataclass(frozen=True)
class _Response:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def quota(self) -> Quota:
        return quota_of(self.headers)

    @property
    def source(self) -> str:
        return SAMPLE_SOURCE if self.headers.get(SAMPLE_HEADER) == "1" else REAL_SOURCE


def _is_local(base_url: str) -> bool:
    return urlsplit(base_url).hostname in {"127.0.0.1", "localhost", "::1"}
