"""`provider_sync_state`: the last success and the last error of each entity."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from oddins_pipeline.catalog.entities import Entity, SyncKey
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.connection import Connection, Query, scalar
from oddins_pipeline.database.merge import Counts, TableCounts
from oddins_pipeline.database.payloads import Payload

MAX_ERROR_CHARACTERS = 1_000

# When the last accepted full response was fetched.
_LAST_SYNCED = "SELECT max(last_synced_at) FROM provider_sync_state WHERE entity = %s"

# A publication's success. A response that was published before says nothing new about the
# provider: the catalog stays as stale, and the last attempt as failed, as they were.
_RECORD_SUCCESS = """
WITH published AS (SELECT fetched_at, published_at FROM provider_payloads WHERE id = %s)
INSERT INTO provider_sync_state AS s
    (source_id, entity, last_synced_at, last_success_at, cursor)
SELECT %s, %s, fetched_at, clock_timestamp(), %s FROM published
ON CONFLICT (source_id, entity) DO UPDATE SET cursor = EXCLUDED.cursor,
    (last_synced_at, last_success_at) = (
        SELECT CASE WHEN again THEN s.last_synced_at ELSE EXCLUDED.last_synced_at END,
            CASE WHEN again THEN s.last_success_at ELSE EXCLUDED.last_success_at END
        FROM (SELECT published_at IS NOT NULL AS again FROM published) AS p)
"""

# The counts of an entity's last publication.
_LAST_COUNTS = """
SELECT cursor -> 'counts' FROM provider_sync_state WHERE entity = ANY(%s)
ORDER BY (cursor ->> 'payload_id')::bigint DESC NULLS LAST LIMIT 1
"""

# An error, unless a newer one is stored, or one of the same run. A database that a source has
# filled keeps its errors under that source; an empty one under the caller's. When another run has
# sent a request since this one took the lock, this one had lost it by then: it was frozen, and
# must not make look failing what has succeeded since.
_RECORD_ERROR = """
WITH filled AS (
    SELECT source_id AS id FROM provider_payloads WHERE published_at IS NOT NULL
    ORDER BY id DESC LIMIT 1),
made AS (
    INSERT INTO provider_sources (name, base_url) SELECT %(source)s, %(base_url)s
    WHERE NOT EXISTS (SELECT FROM filled)
        AND NOT EXISTS (SELECT FROM provider_sources WHERE name = %(source)s)
    RETURNING id),
known AS (
    SELECT id FROM filled UNION ALL SELECT id FROM made UNION ALL
    SELECT id FROM provider_sources WHERE name = %(source)s),
lost AS (
    SELECT min(requested_at) AS at FROM provider_requests WHERE run_id <> %(run_id)s
        AND requested_at > clock_timestamp() - make_interval(secs => %(session_age)s))
INSERT INTO provider_sync_state AS s (source_id, entity, last_error_at, last_error)
SELECT known.id, %(entity)s::text, least(%(at)s, lost.at, clock_timestamp()), %(message)s
FROM known, lost
WHERE NOT EXISTS (SELECT FROM webhook_events
    WHERE entity = %(entity)s::text AND facts ->> 'run_id' = %(run_id)s)
LIMIT 1
ON CONFLICT (source_id, entity) DO UPDATE
SET last_error_at = EXCLUDED.last_error_at, last_error = EXCLUDED.last_error
WHERE s.last_error_at IS NULL OR s.last_error_at < EXCLUDED.last_error_at
"""


def last_full_sync(connection: Connection, entity: Entity) -> datetime | None:
    """When the entity's last accepted full response was fetched; None when never."""
    at: datetime | None = scalar(connection, _LAST_SYNCED, (entity.name,))
    return at


def success(payload: Payload, counts: TableCounts) -> Query:
    """Part of the publishing transaction, before the payload is marked as published."""
    cursor = {
        "payload_id": payload.id,
        "sha256": payload.sha256,
        "normaliser": payload.entity.normaliser,
        "counts": {table: asdict(count) for table, count in counts.items()},
    }
    values = (payload.id, payload.source_id, payload.key.state, json.dumps(cursor))
    return _RECORD_SUCCESS, values


def unchanged_counts(connection: Connection, entity: Entity) -> TableCounts:
    """The counts to report for a response that is not published again."""
    states = [SyncKey(entity, full=full).state for full in (True, False)]
    stored = scalar(connection, _LAST_COUNTS, (states,)) or {}
    received = {table: stored.get(table, {}).get("received", 0) for table in entity.tables}
    return {table: Counts(received=n, unchanged=n) for table, n in received.items()}


def record_error(
    connection: Connection,
    workspace: Workspace,
    state: str,
    message: str,
    *,
    run_id: str | None = None,
    at: datetime | None = None,
    session_age: float | None = None,
) -> bool:
    """Keeps `message` (one line, redacted by the caller) as the last error of `state`.

    `at` is when it happened, now at the latest and by default; an older error never replaces a
    newer one. `session_age` is how many seconds ago the run took the lock.
    Returns whether it was stored: False when it, one of the run, or a later one, is already.
    """
    done = connection.execute(
        _RECORD_ERROR,
        {
            "source": workspace.source,
            "base_url": workspace.base_url,
            "entity": state,
            "run_id": run_id,
            "at": at,
            "session_age": session_age,
            "message": message[:MAX_ERROR_CHARACTERS],
        },
    )
    return done.rowcount > 0
