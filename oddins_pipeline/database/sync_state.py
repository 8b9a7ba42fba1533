"""What went wrong last: written on a connection of its own, after everything else."""

from __future__ import annotations

from datetime import datetime

from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.publish import FULL

MAX_ERROR_CHARACTERS = 1_000


def last_full_sync(connection: Connection) -> datetime | None:
    """When the last full answer was accepted, changed or not; None when never."""
    row = connection.execute(
        "SELECT max(last_synced_at) FROM provider_sync_state WHERE entity = %s", (FULL,)
    ).fetchone()
    return row[0] if row else None  # type: ignore[return-value]


def record_error(
    connection: Connection,
    *,
    source: str,
    base_url: str,
    entity: str,
    message: str,
    at: datetime | None = None,
) -> bool:
    """Keeps `message` (one line, redacted by the caller) as the entity's last error.

    A database that a source has filled keeps its errors under that source; an empty one under
    `source`. `at` is when it happened, now by default; an older error never replaces a newer one.
    True when it is news: False when it, or a later one, is kept already.
    """
    done = connection.execute(
        "WITH filled AS ("
        "  SELECT source_id AS id FROM provider_payloads WHERE published_at IS NOT NULL"
        "  ORDER BY id DESC LIMIT 1),"
        " made AS ("
        "  INSERT INTO provider_sources (name, base_url) SELECT %(source)s, %(base_url)s"
        "  WHERE NOT EXISTS (SELECT FROM filled)"
        "  AND NOT EXISTS (SELECT FROM provider_sources WHERE name = %(source)s)"
        "  RETURNING id),"
        " known AS (SELECT id FROM filled UNION ALL SELECT id FROM made UNION ALL"
        "  SELECT id FROM provider_sources WHERE name = %(source)s)"
        " INSERT INTO provider_sync_state AS s (source_id, entity, last_error_at, last_error)"
        " SELECT id, %(entity)s, coalesce(%(at)s::timestamptz, clock_timestamp()), %(message)s"
        " FROM known LIMIT 1"
        " ON CONFLICT (source_id, entity) DO UPDATE"
        " SET last_error_at = EXCLUDED.last_error_at, last_error = EXCLUDED.last_error"
        " WHERE s.last_error_at IS NULL OR s.last_error_at < EXCLUDED.last_error_at",
        {
            "source": source,
            "base_url": base_url,
            "entity": entity,
            "at": at,
            "message": message[:MAX_ERROR_CHARACTERS],
        },
    )
    return done.rowcount > 0
