"""The real client at one end, the sample provider at the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.catalog.response import RawResponse
from oddins_pipeline.database.requests import RequestLog
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.provider.client import ApiFootball, Clock
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline_tests.support.service import KEY

LIMITS = RequestLimits(connect_timeout=5, read_timeout=5, attempt_timeout=10)


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, sleep=self.sleep)


@dataclass
class Bench:
    """A client, the provider at its other end, and what it has written down."""

    provider: SampleProvider
    connection: psycopg.Connection[Any]
    time: Time

    def fetch(self, limits: RequestLimits = LIMITS, run_id: str | None = "run") -> RawResponse:
        log = RequestLog(self.connection, run_id, per_minute=8)
        with ApiFootball(self.provider.url, KEY, limits, log, clock=self.time.clock()) as client:
            return client.fetch("/leagues", {})

    def error(self, limits: RequestLimits = LIMITS) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            self.fetch(limits)
        return caught.value

    def rows(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT path, http_status, outcome FROM provider_requests ORDER BY id"
        ).fetchall()

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.provider.requests]
