"""Which database this is, whatever the address that leads to it."""

from __future__ import annotations

import hashlib

import psycopg

from oddins_pipeline.database.connection import Connection

DATABASE_TAG = "oddins/database"
"""The tag of a Dagster run: the id of the database that it writes to."""

_IDENTITY = """
SELECT system_identifier, oid FROM pg_control_system(), pg_database
WHERE datname = current_database()
"""


def database_id(connection: Connection) -> str:
    """16 hex digits: of the cluster and the database's oid; of host, port and name where the role
    may not ask the cluster. The connection is in autocommit mode.
    """
    try:
        facts = connection.execute(_IDENTITY).fetchone() or ()
    except psycopg.errors.InsufficientPrivilege:
        info = connection.info
        facts = (info.host, info.port, info.dbname)
    return hashlib.sha256(":".join(map(str, facts)).encode()).hexdigest()[:16]
