"""Prometheus metrics, read from the database at each scrape. Unknown is absent, never zero."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.lists import ENTITIES
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database import lock, receivers
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.health import Sample, load_metrics
from oddins_pipeline.database.requests import load_account_state
from oddins_pipeline.database.status import load_status
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.logs import redact
from oddins_pipeline.pipeline.deliveries import pending_count
from oddins_pipeline.pipeline.staleness import stale_after

logger = logging.getLogger(__name__)

METRICS = {
    "up": "1 when the catalog can be read",
    "last_sync_timestamp_seconds": "When the last sync succeeded",
    "sync_age_seconds": "The age of the last successful sync",
    "stale_after_seconds": "The age from which it is stale",
    "failing": "1 when the last attempt failed; the code says why",
    "requests_left": "Requests left today, by the provider's headers of today",
    "requests_limit": "Requests a day, by the same",
    "requests_used_today": "Requests sent today from here",
    "subscription_end_timestamp_seconds": "When the subscription ends",
    "subscription_active": "1 while it is active",
    "rows_listed": "Listed rows",
    "response_rejected": "1 when the newest response was rejected",
    "response_quarantined": "Quarantined items of the newest response",
    "response_unknown_fields": "Unknown fields of the newest response",
    "response_rejections": "Archived responses that were rejected",
    "sync_running": "1 while a sync holds the lock",
    "orphaned_runs": "Runs that Dagster calls started but whose process is lost",
    "daemon_heartbeat_age_seconds": "Since the daemon's last heartbeat",
    "deliveries_pending": "Events that a receiver has not confirmed",
    "receiver_failing": "1 while its deliveries fail",
    "receiver_suspended": "1 while nothing is sent to it",
}
"""Name → help text."""


class CatalogCollector(Collector):
    """`opens` gives a connection for one scrape."""

    def __init__(
        self, opens: Callable[[], AbstractContextManager[Connection]], settings: Settings
    ) -> None:
        self._opens = opens
        self._settings = settings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One scrape."""
        found: list[Sample] = []
        try:
            with self._opens() as connection:
                found = [("up", {}, 1), *_samples(connection, self._settings)]
        except OddinsError as error:
            logger.warning("the catalog cannot be read", extra={"reason": redact(str(error))})
            found = [("up", {}, 0)]
        families: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in found:
            if value is not None:
                new = GaugeMetricFamily(
                    f"oddins_{name}", f"{METRICS[name]}.", labels=sorted(labels)
                )
                family = families.setdefault(name, new)
                family.add_metric([labels[label] for label in sorted(labels)], float(value))
        yield from families.values()


def _samples(connection: Connection, settings: Settings) -> Iterator[Sample]:
    yield from load_metrics(connection)
    status = load_status(connection)
    synced = {state["entity"] for state in status["sync"] if state["last_synced_at"]}
    for entity in ENTITIES:
        limit = stale_after(settings, entity).total_seconds()
        yield "stale_after_seconds", {"entity": entity.name}, limit
        for table in entity.tables if entity.name in synced else ():
            yield "rows_listed", {"table": table}, status["rows"][table]["listed"]
    account = load_account_state(connection, LEAGUES)
    yield "requests_left", {}, account.day_remaining
    yield "requests_limit", {}, account.day_limit
    yield "requests_used_today", {}, status["requests_today"]
    yield "sync_running", {}, lock.holder(connection) is not None
    for one in receivers.load(connection, settings):
        labels = {"receiver": one.name}
        yield "deliveries_pending", labels, pending_count(connection, one)
        yield "receiver_failing", labels, one.failing_since is not None
        yield "receiver_suspended", labels, one.suspended_at is not None
