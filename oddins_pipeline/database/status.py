"""What `oddins status` shows: sync states, row counts, quota and open backfills."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from oddins_pipeline.catalog.lists import ENTITIES
from oddins_pipeline.database import backfills, requests
from oddins_pipeline.database.connection import Connection, database_errors

# Every sync state with its source; that of the source which has filled the database comes last.
_STATES = """
SELECT p.name AS source, s.entity, s.last_synced_at, s.last_success_at, s.cursor,
    s.last_error_at, s.last_error,
    coalesce(s.last_error_at > coalesce(s.last_success_at, '-infinity'), false) AS failing
FROM provider_sync_state s JOIN provider_sources p ON p.id = s.source_id
ORDER BY s.entity, s.last_success_at NULLS FIRST
"""

_COUNT = "SELECT '{0}' AS name, count(*) AS rows, count(*) FILTER (WHERE {1}) AS listed FROM {0}"

# Rows of every published table, and how many of them are listed.
_ROWS = " UNION ALL ".join(
    _COUNT.format(table, "true" if table == "season_coverage" else "delisted_at IS NULL")
    for entity in ENTITIES
    for table in entity.tables
)

# What was unusual in each list's newest published response.
_ANOMALIES = """
SELECT p.entity, a.kind, count(*) AS count
FROM payload_anomalies a JOIN provider_payloads p ON p.id = a.payload_id
WHERE p.id IN (SELECT max(id) FROM provider_payloads WHERE published_at IS NOT NULL GROUP BY entity)
GROUP BY p.entity, a.kind ORDER BY p.entity, a.kind
"""


def load_status(connection: Connection) -> dict[str, Any]:
    """The status as plain values. Raises DatabaseError."""
    with database_errors(), connection.cursor(row_factory=dict_row) as cursor:
        states = cursor.execute(_STATES).fetchall()
        rows = {row.pop("name"): row for row in cursor.execute(_ROWS).fetchall()}
        anomalies = cursor.execute(_ANOMALIES).fetchall()
        quota = requests.last_quota(connection)
        pending = backfills.open_requests(connection)
        used = requests.requests_today(connection)
        (at,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
    return {
        "at": at,
        "sync": states,
        "rows": rows,
        "anomalies": anomalies,
        "quota": quota._asdict() if quota else None,
        "requests_today": used,
        "backfills_pending": [request.shown() for request in pending],
    }
