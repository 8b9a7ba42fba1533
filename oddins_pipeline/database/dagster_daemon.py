"""Whether Dagster's daemon is running, read from its tables without Dagster."""

from __future__ import annotations

from oddins_pipeline.database.connection import Connection

HEARTBEAT_LATE_S, HEARTBEAT_DEAD_S = 60, 300
"""Seconds since the last heartbeat: one each half minute, later during a long tick."""

BACKFILL_SENSOR = "backfill_requests_sensor"


def daemon_state(connection: Connection) -> str:
    """One sentence: running, or what is missing."""
    row = connection.execute("SELECT to_regclass('dagster.daemon_heartbeats')").fetchone()
    if row is None or row[0] is None:
        return "none has run here; `oddins dev` starts one"
    found = connection.execute(
        "SELECT (SELECT extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp))::int"
        "  FROM dagster.daemon_heartbeats),"
        " EXISTS (SELECT FROM dagster.instigators"
        "  WHERE status IN ('RUNNING', 'DECLARED_IN_CODE') AND instigator_body LIKE %s)",
        (f'%"{BACKFILL_SENSOR}"%',),
    ).fetchone()
    age, switched_on = found or (None, False)
    if not isinstance(age, int) or age > HEARTBEAT_DEAD_S:
        return "not running; schedules and sensors need it: `oddins dev`, or `dagster-daemon run`"
    if not switched_on:
        return (
            f"running, but {BACKFILL_SENSOR} is off: switch it on in the Dagster UI, or set"
            " ODDINS_AUTOMATION=on"
        )
    return "running" if age < HEARTBEAT_LATE_S else f"running, last heartbeat {age} s ago"
