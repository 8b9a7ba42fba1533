"""Prometheus metrics, read from the database at each scrape. Unknown is absent, never zero."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.lists import ENTITIES
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database import lock, receivers
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.health import failure_codes, load_metrics
from oddins_pipeline.database.requests import load_account_state
from oddins_pipeline.database.status import load_status
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.logs import redact
from oddins_pipeline.pipeline.deliveries import pending_count
from oddins_pipeline.pipeline.staleness import stale_after

logger = logging.getLogger(__name__)

METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "up": ("1 when the catalog can be read", ()),
    "last_sync_timestamp_seconds": ("When the last sync succeeded", ("entity",)),
    "sync_age_seconds": ("The age of the last successful sync", ("entity",)),
    "stale_after_seconds": ("The age from which it is stale", ("entity",)),
    "failing": ("1 when the last attempt failed; the code says why", ("entity", "code")),
    "requests_left": ("Requests left today, by the provider's headers of today", ()),
    "requests_limit": ("Requests a day, by the same", ()),
    "requests_used_today": ("Requests sent today from here", ()),
    "subscription_end_timestamp_seconds": ("When the subscription ends", ()),
    "subscription_active": ("1 while it is active", ()),
    "rows_listed": ("Listed rows", ("table",)),
    "response_rejected": ("1 when the newest response was rejected", ("entity",)),
    "response_quarantined": ("Quarantined items of the newest response", ("entity",)),
    "response_unknown_fields": ("Unknown fields of the newest response", ("entity",)),
    "response_rejections": ("Archived responses that were rejected", ("entity",)),
    "sync_running": ("1 while a sync holds the lock", ()),
    "orphaned_runs": ("Runs that Dagster calls started but whose process is lost", ()),
    "daemon_heartbeat_age_seconds": ("Since the daemon's last heartbeat", ()),
    "deliveries_pending": ("Events that a receiver has not confirmed", ("receiver",)),
    "receiver_failing": ("1 while its deliveries fail", ("receiver",)),
    "receiver_suspended": ("1 while nothing is sent to it", ("receiver",)),
}
"""Name → help text and labels."""

Sample = tuple[Any, ...]
"""Name, label values, and last the value; None leaves the sample out."""


class CatalogCollector(Collector):
    """`opens` gives a connection for one scrape."""

    def __init__(
        self, opens: Callable[[], AbstractContextManager[Connection]], settings: Settings
    ) -> None:
        self._opens = opens
        self._settings = settings

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One scrape."""
        found: list[Sample] = []
        try:
            with self._opens() as connection:
                found = [("up", 1), *_samples(connection, self._settings)]
        except OddinsError as error:
            logger.warning("the catalog cannot be read", extra={"reason": redact(str(error))})
            found = [("up", 0)]
        families: dict[str, GaugeMetricFamily] = {}
        for name, *labels, value in found:
            if value is not None:
                text, names = METRICS[name]
                new = GaugeMetricFamily(f"oddins_{name}", f"{text}.", labels=names)
                families.setdefault(name, new).add_metric(labels, float(value))
        yield from families.values()


def _samples(connection: Connection, settings: Settings) -> Iterator[Sample]:
    status = load_status(connection)
    yield from _of_states(connection, status["sync"])
    for entity in ENTITIES:
        yield "stale_after_seconds", entity.name, stale_after(settings, entity).total_seconds()
        if any(s["entity"] == entity.name and s["last_synced_at"] for s in status["sync"]):
            for table in entity.tables:
                yield "rows_listed", table, status["rows"][table]["listed"]
    account = load_account_state(connection, LEAGUES)
    yield "requests_left", account.day_remaining
    yield "requests_limit", account.day_limit
    yield "requests_used_today", status["requests_today"]
    yield "sync_running", lock.holder(connection) is not None
    for name, label, value in load_metrics(connection):
        yield (name, value) if label is None else (name, label, value)
    for receiver in receivers.load(connection):
        yield "deliveries_pending", receiver.name, pending_count(connection, receiver)


def _of_states(connection: Connection, states: list[dict[str, Any]]) -> Iterator[Sample]:
    now, codes = datetime.now(timezone.utc), failure_codes(connection)
    for state in states:
        entity, at = state["entity"], state["last_synced_at"]
        if at is not None:
            yield "last_sync_timestamp_seconds", entity, at.timestamp()
            yield "sync_age_seconds", entity, (now - at).total_seconds()
        code = codes.get(entity) or "failed"
        yield "failing", entity, code if state["failing"] else "", state["failing"] or 0
