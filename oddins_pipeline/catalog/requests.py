"""Values of a request to the provider: parameters, limits, sources, and the log of requests."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from oddins_pipeline.catalog.account import Account, Quota

Params = dict[str, str]
"""Query parameters; empty for a full response."""

SOURCE = "api-football"
SAMPLE_SOURCE = "api-football-sample"
SAMPLE_HEADER = "x-oddins-sample"

Seconds = Annotated[float, Field(gt=0, le=86_400)]


@dataclass(frozen=True)
class RequestLimits:
    """Bounds of one request, all attempts included; sizes after decompression."""

    connect_timeout: Annotated[Seconds, Field(description="seconds to connect")] = 10
    read_timeout: Annotated[
        Seconds, Field(description="seconds to the first byte and between bytes")
    ] = 30
    attempt_timeout: Annotated[Seconds, Field(description="seconds for one attempt")] = 120
    total_timeout: Annotated[Seconds, Field(description="seconds for all attempts")] = 900
    attempts: Annotated[int, Field(ge=1, le=20, description="maximum number of attempts")] = 5
    max_body_mb: Annotated[
        float, Field(gt=0, le=2_048, description="maximum size after decompression, in MB")
    ] = 64
    max_retry_after: Annotated[
        Seconds, Field(description="maximum Retry-After in seconds that a sync waits for")
    ] = 120


class RequestLog(Protocol):
    """Where requests are counted and recorded: `database.requests`."""

    def try_acquire(self, path: str, params: Params) -> tuple[int | None, float]:
        """(row id, 0) when a request may be sent now, else (None, seconds to wait)."""

    def complete(self, row_id: int, *, status: int | None, outcome: str, quota: Quota) -> datetime:
        """Records the result of the request; returns the server's time."""

    def save_subscription(self, account: Account) -> None:
        """Stores when the subscription ends."""
