"""Whether Dagster's daemon is running, read from its tables without Dagster."""

from __future__ import annotations

from typing import NamedTuple

from oddins_pipeline.database.connection import Connection, scalar

HEARTBEAT_DEAD_S = 60
"""Seconds since the last heartbeat of any of the daemon's threads: each has one a half minute."""

BACKFILL_SENSOR = "backfill_requests_sensor"


class DaemonState(NamedTuple):
    """Whether it runs, and one sentence on it."""

    running: bool
    text: str


def daemon_state(connection: Connection) -> DaemonState:
    """Running, or what is missing."""
    if scalar(connection, "SELECT to_regclass('dagster.daemon_heartbeats')") is None:
        return DaemonState(False, "not running; none has run here: `oddins dev` starts one")
    found = connection.execute(
        "SELECT (SELECT extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp))::int"
        "  FROM dagster.daemon_heartbeats),"
        " EXISTS (SELECT FROM dagster.instigators"
        "  WHERE status IN ('RUNNING', 'DECLARED_IN_CODE') AND instigator_body LIKE %s)",
        (f'%"{BACKFILL_SENSOR}"%',),
    ).fetchone()
    age, switched_on = found or (None, False)
    if not isinstance(age, int) or age > HEARTBEAT_DEAD_S:
        needed = "schedules and sensors need it: `oddins dev`, or `dagster-daemon run`"
        return DaemonState(False, f"not running; {needed}")
    if not switched_on:
        fix = "switch it on in the Dagster UI, or set ODDINS_AUTOMATION=on"
        return DaemonState(True, f"running, but {BACKFILL_SENSOR} is off: {fix}")
    return DaemonState(True, "running")
