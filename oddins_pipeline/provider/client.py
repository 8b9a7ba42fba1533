"""The provider's client: serial, bounded in bytes, time and attempts."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from typing_extensions import Self

from oddins_pipeline.catalog.account import Account, Quota, account_of, lapsed
from oddins_pipeline.catalog.requests import (
    SAMPLE_HEADER,
    SAMPLE_SOURCE,
    SOURCE,
    Params,
    RequestLimits,
    RequestLog,
)
from oddins_pipeline.catalog.response import RawResponse, canonical_hash, entries_of, fingerprint
from oddins_pipeline.errors import (
    RETRIED,
    MalformedResponseError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ResponseRejectedError,
)
from oddins_pipeline.logs import holds_secret, register_secrets
from oddins_pipeline.provider.error_mapping import parse_or_raise, quota_of
from oddins_pipeline.provider.transport import Response, Transport

logger = logging.getLogger(__name__)

KEY_HEADER = "x-apisports-key"
MINUTE = 60.0
MIN_PAUSE = 1.0
"""Seconds before any further attempt, also when the provider allows none."""


@dataclass(frozen=True)
class Clock:
    """Time as the client sees it, so that tests need not wait."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class _Read(NamedTuple):
    """What a response holds, and the request's outcome."""

    value: Any
    outcome: str = "ok"


class _Success(NamedTuple):
    value: Any
    response: Response
    completed_at: datetime


class _Content(NamedTuple):
    """The entries of a list's response, or why it is rejected."""

    entries: list[Any]
    results: int
    sha256: str
    rejection: ResponseRejectedError | None = None


def _content(value: Any, body: bytes, path: str, params: Params) -> _Content:
    try:
        entries = entries_of(value, path, params)
    except ResponseRejectedError as error:
        return _Content([], *fingerprint(body), error)
    return _Content(entries, len(entries), canonical_hash(entries))


class ApiFootball:
    """A session with the provider. Errors are those of `oddins_pipeline.errors`.

    `transport` replaces the network in tests: see `provider.transport`.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        limits: RequestLimits,
        log: RequestLog,
        *,
        clock: Clock | None = None,
        transport: Any = None,
    ) -> None:
        register_secrets((key,))
        self.base_url = base_url
        self._key = key
        self._limits = limits
        self._log = log
        self._clock = clock or Clock()
        headers = {KEY_HEADER: key, "accept-encoding": "gzip"}
        self._transport = Transport(base_url, headers, limits, mock=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def fetch(self, path: str, params: Params) -> RawResponse:
        """`GET path`: a whole list, or the part that `params` name. One request unless it is
        retried. Raises ProviderError.
        """
        name = _name_of(path)
        logger.info(f"fetching {name}", extra={"path": path, **params})
        started = self._clock.monotonic()
        try:
            read, response, completed_at = self._get(path, params, self._reader(path, params))
        except QuotaError as error:
            raise self._quota_or_subscription(error) from None
        content: _Content = read
        if content.rejection is None:
            received = {f"{name}_received": content.results, "bytes": len(response.body)}
            logger.info(f"received {content.results:,} {name}", extra=received)
        is_sample = response.headers.get(SAMPLE_HEADER) == "1"
        return RawResponse(
            body=response.body,
            params=params,
            entries=content.entries,
            sha256=content.sha256,
            fetched_at=completed_at,
            source=SAMPLE_SOURCE if is_sample else SOURCE,
            base_url=self.base_url,
            quota=quota_of(response.headers),
            results=content.results,
            seconds=self._clock.monotonic() - started,
            rejection=content.rejection,
        )

    def status(self) -> Account:
        """`GET /status`, which costs no quota. Raises ProviderError.

        The account's part is personal: it is dropped here.
        """
        success = self._get("/status", {}, lambda value, _: _Read(account_of(value)), attempts=1)
        account: Account = success.value
        self._log.save_subscription(account)
        return account

    def _reader(self, path: str, params: Params) -> Callable[[Any, Response], _Read]:
        def read(value: Any, response: Response) -> _Read:
            logger.info("validating the response", extra={"bytes": len(response.body)})
            if holds_secret(response.body, (self._key,)):
                # It must not be archived, and what echoes a key is not the provider.
                raise MalformedResponseError("the response repeats the key and is not archived")
            content = _content(value, response.body, path, params)
            return _Read(content, content.rejection.code if content.rejection else "ok")

        return read

    def _quota_or_subscription(self, error: QuotaError) -> ProviderError:
        """`errors.requests` may also mean a lapsed subscription: /status, free, decides."""
        try:
            account = self.status()
        except ProviderError:
            return error
        return lapsed(account) or error

    def _get(
        self,
        path: str,
        params: Params,
        read: Callable[[Any, Response], _Read],
        *,
        attempts: int | None = None,
    ) -> _Success:
        started = self._clock.monotonic()
        attempts = attempts or self._limits.attempts

        def wait(state: RetryCallState) -> float:
            return self._pause(state, started, attempts)

        retrying = Retrying(
            retry=retry_if_exception_type(RETRIED),
            stop=stop_after_attempt(attempts),
            wait=wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(self._attempt, path, params, read, started)

    def _pause(self, state: RetryCallState, started: float, attempts: int) -> float:
        """Seconds before the next attempt. Raises the attempt's error when that is too long."""
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, ProviderError)
        pause = _backoff(error, state.attempt_number)
        if pause > self._limits.max_retry_after or pause > self._left(started):
            raise type(error)(error.cause, hint=_retry_at(pause)) from None
        if state.attempt_number == attempts:
            return 0  # tenacity asks before it stops
        logger.warning(
            "the request failed, retrying",
            extra={
                "attempt": state.attempt_number,
                "attempts": attempts,
                "code": error.code,
                "reason": error.cause,
                "pause_seconds": round(pause, 1),
            },
        )
        return pause

    def _left(self, started: float) -> float:
        """Seconds left for all attempts."""
        return self._limits.total_timeout - (self._clock.monotonic() - started)

    def _attempt(
        self, path: str, params: Params, read: Callable[[Any, Response], _Read], started: float
    ) -> _Success:
        row_id = self._acquire_slot(path, params, started)
        response: Response | None = None
        outcome = "interrupted"
        try:
            left = max(MIN_PAUSE, self._left(started))
            response = self._transport.get(path, params, timeout=left)
            parsed = parse_or_raise(response.status, response.headers, response.body)
            value, outcome = read(parsed, response)
        except ProviderError as error:
            outcome = error.code
            raise
        finally:
            completed_at = self._log.complete(
                row_id,
                status=response.status if response else None,
                outcome=outcome,
                quota=quota_of(response.headers) if response else Quota(),
            )
        return _Success(value, response, completed_at)

    def _acquire_slot(self, path: str, params: Params, started: float) -> int:
        """Waits until the minute has room, and returns the request's row."""
        while True:
            row_id, pause = self._log.try_acquire(path, params)
            if row_id is not None:
                return row_id
            if pause > self._left(started):
                raise RateLimitError(
                    "the minute's requests are used up for longer than this may wait",
                    hint=_retry_at(pause),
                )
            logger.info("waiting for the minute's limit", extra={"pause_seconds": round(pause, 1)})
            self._clock.sleep(pause)


def _name_of(path: str) -> str:
    """`live_bets` of `/odds/live/bets`: the last part alone is that of another list."""
    return path.removeprefix("/odds").strip("/").replace("/", "_")


def _backoff(error: ProviderError, attempt: int) -> float:
    """Exponential with jitter; at least the provider's Retry-After; a minute for its limit."""
    if isinstance(error, RateLimitError):
        return max(MIN_PAUSE, MINUTE if error.retry_after is None else error.retry_after)
    pause = min(30.0, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
    return max(pause, error.retry_after or 0.0)


def _retry_at(pause: float) -> str:
    try:
        when = datetime.fromtimestamp(time.time() + pause, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "the provider's Retry-After is beyond the calendar"
    return f"retry after {when:%Y-%m-%d %H:%M:%S} UTC"
