"""Which database this is, whatever the address that leads to it."""

from __future__ import annotations

import hashlib
from datetime import datetime

import psycopg

from oddins_pipeline.database.connection import Connection

DATABASE_TAG = "oddins/database"
"""The tag of a Dagster run: the id of the database that it writes to."""

_IDENTITY = """
SELECT clock_timestamp(), system_identifier, oid FROM pg_control_system(), pg_database
WHERE datname = current_database()
"""


def database_id(connection: Connection) -> tuple[str, datetime]:
    """16 hex digits: of the cluster and the database's oid; of host, port and name where the role
    may not ask the cluster. With the server's time. The connection is in autocommit mode.
    """
    try:
        row = connection.execute(_IDENTITY).fetchone()
        assert row is not None
        now, *facts = row
    except psycopg.errors.InsufficientPrivilege:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        info = connection.info
        now, facts = row[0], [info.host, info.port, info.dbname]
    digits = hashlib.sha256(":".join(map(str, facts)).encode()).hexdigest()[:16]
    return digits, now
