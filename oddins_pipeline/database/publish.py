"""Publishing: one batch, one transaction, its tables, the feed and the sync state."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from oddins_pipeline.catalog.entities import Entity
from oddins_pipeline.catalog.rows import Anomaly
from oddins_pipeline.database import events, lock, sync_state
from oddins_pipeline.database.connection import Connection, Query, execute_batch, scalar
from oddins_pipeline.database.merge import TableCounts
from oddins_pipeline.database.payloads import Payload


class HasAnomalies(Protocol):
    """What publishing needs to know of a batch; its tables' rows are the writer's affair."""

    @property
    def anomalies(self) -> Sequence[Anomaly]:
        """What was unusual in the response."""


B = TypeVar("B", bound=HasAnomalies)
Write = Callable[..., TableCounts]
"""`(connection, batch, full=…, feed_payload=…)`: writes the tables of one entity."""

# Whether the feed of an entity's tables has begun.
_HAS_FEED = """
SELECT EXISTS (SELECT FROM catalog_changes WHERE change = 'loaded' AND entity = ANY(%s))
"""

# One `loaded` row per table.
_BEGIN_FEED = """
INSERT INTO catalog_changes (payload_id, entity, change)
SELECT %s, name, 'loaded' FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, place)
ORDER BY place
"""

# The anomalies of one payload, in place of those of an earlier validation.
_REPLACE_ANOMALIES = """
WITH earlier AS (DELETE FROM payload_anomalies WHERE payload_id = %s)
INSERT INTO payload_anomalies (payload_id, kind, detail)
SELECT %s, kind, detail::jsonb FROM unnest(%s::text[], %s::text[])
    WITH ORDINALITY AS found (kind, detail, place)
ORDER BY place
"""

# A payload's publication.
_PUBLISHED = """
UPDATE provider_payloads SET published_at = now(), refusal = NULL, refusal_code = NULL,
    first_published_at = coalesce(first_published_at, now())
WHERE id = %s
"""


def publish(connection: Connection, payload: Payload, batch: B, write: Write) -> TableCounts:
    """Writes the batch; the caller has opened the transaction.

    Raises DatabaseError when the lock was lost.
    """
    feed = _has_feed(connection, payload.entity)
    feed_payload = payload.id if feed else None
    counts = write(connection, batch, full=payload.full, feed_payload=feed_payload)
    if payload.full and not feed:
        connection.execute(_BEGIN_FEED, (payload.id, list(payload.entity.tables)))
    quarantined = sum(one.kind.startswith("quarantined") for one in batch.anomalies)
    *_, held = execute_batch(
        connection,
        _anomalies(payload.id, batch.anomalies),
        *events.of_success(payload.key, payload=payload.id, quarantined=quarantined),
        sync_state.success(payload, counts),
        (_PUBLISHED, (payload.id,)),
        lock.HELD,
    )
    lock.require_held(held)
    return counts


def _has_feed(connection: Connection, entity: Entity) -> bool:
    return bool(scalar(connection, _HAS_FEED, (list(entity.tables),)))


def record_anomalies(connection: Connection, payload_id: int, anomalies: Sequence[Anomaly]) -> None:
    """Keeps what was unusual in the response."""
    execute_batch(connection, _anomalies(payload_id, anomalies))


def _anomalies(payload_id: int, anomalies: Sequence[Anomaly]) -> Query:
    kinds = [anomaly.kind for anomaly in anomalies]
    details = [json.dumps(anomaly.detail) for anomaly in anomalies]
    return _REPLACE_ANOMALIES, (payload_id, payload_id, kinds, details)
