"""What monitoring reads beside `status`."""

from __future__ import annotations

from oddins_pipeline.catalog.events import FAILED, REJECTED
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.identity import DATABASE_TAG, database_id

# (metric, label, value). The newest response of an entity is what the provider sent last.
_METRICS = """
WITH newest AS (
    SELECT DISTINCT ON (entity) id, entity, refusal FROM provider_payloads
    ORDER BY entity, last_seen_at DESC, id DESC),
odd AS (SELECT entity, kind FROM newest n LEFT JOIN payload_anomalies a ON a.payload_id = n.id)
SELECT 'response_rejected', entity, (refusal IS NOT NULL)::int::float FROM newest
UNION ALL SELECT 'response_quarantined', entity, count(*) FILTER (WHERE kind LIKE 'quarantined%')
FROM odd GROUP BY entity
UNION ALL SELECT 'response_unknown_fields', entity, count(*) FILTER (WHERE kind = 'unknown_field')
FROM odd GROUP BY entity
UNION ALL SELECT 'response_rejections', entity, count(refusal) FROM provider_payloads GROUP BY 2
UNION ALL SELECT 'subscription_end_timestamp_seconds', NULL, extract(epoch FROM ends_at)
FROM provider_subscription
UNION ALL SELECT 'subscription_active', NULL, active::int FROM provider_subscription
UNION ALL SELECT 'receiver_failing', name, (failing_since IS NOT NULL)::int FROM webhook_receivers
UNION ALL SELECT 'receiver_suspended', name, (suspended_at IS NOT NULL)::int FROM webhook_receivers
"""

# The code of each sync state's newest failure.
_CODES = """
SELECT DISTINCT ON (entity) entity, facts ->> 'code' FROM webhook_events
WHERE type = ANY(%s) AND entity IS NOT NULL ORDER BY entity, id DESC
"""

# Runs that Dagster calls started but that have had no connection here for a minute, and the age of
# the daemon's last heartbeat.
_DAGSTER = """
SELECT 'orphaned_runs', NULL, count(*)::float FROM dagster.runs r
WHERE r.status = 'STARTED'
    AND r.start_time < extract(epoch FROM now()) - 60
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = current_database()
        AND a.application_name LIKE 'oddins sync ' || left(r.run_id, 8) || '%%')
    AND EXISTS (SELECT FROM dagster.run_tags t
        WHERE t.run_id = r.run_id AND t.key = %s AND t.value = %s)
UNION ALL SELECT 'daemon_heartbeat_age_seconds', NULL,
    extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp)) FROM dagster.daemon_heartbeats
"""

Sample = tuple[str, str | None, float | None]
"""Metric, label (its metric has one, or None), value (None: not known)."""


def load_metrics(connection: Connection) -> list[Sample]:
    """The metrics of the tables; of Dagster's only where they are."""
    found = connection.execute(_METRICS).fetchall()
    there = connection.execute("SELECT to_regclass('dagster.daemon_heartbeats')").fetchone()
    if there and there[0]:
        found += connection.execute(_DAGSTER, (DATABASE_TAG, database_id(connection))).fetchall()
    return [(name, label, value) for name, label, value in found]


def failure_codes(connection: Connection) -> dict[str, str]:
    """Sync state → the code of its newest failure."""
    return dict(connection.execute(_CODES, ([FAILED, REJECTED],)).fetchall())
