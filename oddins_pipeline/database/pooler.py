"""A pooler in transaction mode breaks session locks: detected before the lock is asked for."""

from __future__ import annotations

from collections.abc import Callable

from oddins_pipeline.database.connection import Connection, scalar
from oddins_pipeline.errors import DatabaseError

PROBES = 3


def refuse_transaction_pooler(
    connection: Connection, connect_again: Callable[[], Connection]
) -> None:
    """Raises DatabaseError when statements of this connection may run in any server session.

    A pooler reports process ids of its own making. Whether it is in transaction mode shows
    when a second client is given the server session that this idle one believes to own.
    """
    backend = _backend(connection)
    if backend == connection.info.backend_pid:
        return
    for _ in range(PROBES):
        with connect_again() as other:
            shared = _backend(other) == _backend(connection)
            if shared:
                # The session's settings, too, have landed in a session that others use.
                other.execute("RESET ALL")
        if shared:
            raise DatabaseError(
                "a pooler in transaction mode (such as PgBouncer's) is between here and"
                " PostgreSQL: the lock that keeps syncs apart would be lost; point DATABASE_URL at"
                " PostgreSQL itself, or at a pool in session mode"
            )


def _backend(connection: Connection) -> object:
    return scalar(connection, "SELECT pg_backend_pid()")
