"""What monitoring reads beside `status`."""

from __future__ import annotations

from oddins_pipeline.catalog.events import FAILED, REJECTED
from oddins_pipeline.catalog.steps import OURS
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.identity import DATABASE_TAG, database_id

# (metric, labels, value). The newest response of an entity is what the provider sent last; the code
# of a failing one is that of its newest failure. A subscription that ended before a sync
# succeeded was renewed: how long it lasts now is not known.
_METRICS = """
WITH states AS (
    SELECT entity, extract(epoch FROM last_synced_at) AS synced, (
            SELECT facts ->> 'code' FROM webhook_events e
            WHERE e.entity = s.entity AND type = ANY(%s) ORDER BY id DESC LIMIT 1) AS code,
        coalesce(last_error_at > coalesce(last_success_at, '-infinity'), false) AS failing
    FROM provider_sync_state s),
newest AS (
    SELECT DISTINCT ON (entity) id, entity, refusal FROM provider_payloads
    ORDER BY entity, last_seen_at DESC, id DESC),
odd AS (SELECT entity, kind FROM newest n LEFT JOIN payload_anomalies a ON a.payload_id = n.id),
subscription AS (
    SELECT s.*, (SELECT coalesce(max(last_success_at), '-infinity') FROM provider_sync_state)
        AS last_success_at FROM provider_subscription s),
by_entity AS (
    SELECT 'last_sync_timestamp_seconds' AS name, entity, synced AS value FROM states
    UNION ALL SELECT 'sync_age_seconds', entity, extract(epoch FROM now()) - synced FROM states
    UNION ALL SELECT 'response_rejected', entity, (refusal IS NOT NULL)::int FROM newest
    UNION ALL SELECT 'response_quarantined', entity,
        count(*) FILTER (WHERE kind LIKE 'quarantined%%') FROM odd GROUP BY entity
    UNION ALL SELECT 'response_unknown_fields', entity,
        count(*) FILTER (WHERE kind = 'unknown_field') FROM odd GROUP BY entity
    UNION ALL SELECT 'response_rejections', entity, count(refusal)
    FROM provider_payloads GROUP BY entity)
SELECT name, jsonb_build_object('entity', entity), value FROM by_entity
UNION ALL SELECT 'failing', jsonb_build_object('entity', entity,
    'code', CASE WHEN failing THEN coalesce(code, 'failed') ELSE '' END), failing::int FROM states
UNION ALL SELECT 'subscription_end_timestamp_seconds', '{}', extract(epoch FROM ends_at)
FROM subscription WHERE ends_at > last_success_at
UNION ALL SELECT 'subscription_active', '{}', active::int
FROM subscription WHERE active OR seen_at > last_success_at
"""

# Runs that Dagster calls started but have no connection here a minute after they began (by a
# clock that may be wrong), and the age of the daemon's last heartbeat. Consumers' steps come after
# ours: a run that is at them may lose its connection.
_DAGSTER = """
SELECT 'orphaned_runs', '{}'::jsonb, count(*)::float FROM dagster.runs r
WHERE r.status = 'STARTED'
    AND r.create_timestamp < (now() AT TIME ZONE 'UTC') - interval '60 s'
    AND abs(extract(epoch FROM now()) - r.start_time) > 60
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = current_database()
        AND a.application_name LIKE 'oddins sync ' || left(r.run_id, 8) || '%%')
    AND EXISTS (SELECT FROM dagster.run_tags t
        WHERE t.run_id = r.run_id AND t.key = %s AND t.value = %s)
    AND NOT EXISTS (SELECT FROM dagster.event_logs e WHERE e.run_id = r.run_id
        AND e.dagster_event_type = 'STEP_START' AND e.step_key <> ALL(%s))
UNION ALL SELECT 'daemon_heartbeat_age_seconds', '{}',
    extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp)) FROM dagster.daemon_heartbeats
"""

Sample = tuple[str, dict[str, str], float | None]
"""Metric, labels, value (None: not known)."""


def load_metrics(connection: Connection) -> list[Sample]:
    """The metrics of the tables; of Dagster's only where they are."""
    found = connection.execute(_METRICS, ([FAILED, REJECTED],)).fetchall()
    there = connection.execute("SELECT to_regclass('dagster.daemon_heartbeats')").fetchone()
    if there and there[0]:
        ours = (DATABASE_TAG, database_id(connection)[0], list(OURS))
        found += connection.execute(_DAGSTER, ours).fetchall()
    return [(name, labels, value) for name, labels, value in found]
