"""One sync at a time, everywhere: a session advisory lock on the sync's own connection."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.connection import Connection, Query
from oddins_pipeline.database.revision import REVISIONS, VERSION_TABLE
from oddins_pipeline.errors import DatabaseError, LockHeldError, SchemaError

logger = logging.getLogger(__name__)

NAME = "sync:leagues_seasons"
"""One lock for all entities; 0.1 has hashed this name, so it stays."""

# Tries for the lock. A session that holds it and does nothing for too long is ended by the server:
# its process is frozen, or its machine paused. NULL when a pooler is between: see `pooler`.
_TRY = """
SELECT CASE
    WHEN pg_backend_pid() <> {pid} THEN NULL
    WHEN pg_try_advisory_lock({key})
    THEN set_config('idle_session_timeout', '{idle}', false) IS NOT NULL
        AND set_config('idle_in_transaction_session_timeout', '{idle}', false) IS NOT NULL
    ELSE false END;
"""

# Ends the holder's session when its statement has passed its own time-out and still waits for its
# client: in a COPY, no time-out of a session ends it.
_END_FROZEN = """
SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND (l.classid::bigint << 32 | l.objid::bigint) = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.usename = current_user AND a.state = 'active' AND a.wait_event LIKE 'Client%%'
  AND a.query_start < clock_timestamp() - make_interval(secs => %s)
"""

# Gives it back; from here on the session may be idle for as long as its run lasts.
_RELEASE = """
SELECT pg_advisory_unlock(%s), set_config('idle_session_timeout', '0', false),
    set_config('idle_in_transaction_session_timeout', '0', false)
"""

_HOLDER = """
SELECT a.pid, a.application_name, to_char(a.backend_start, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND (l.classid::bigint << 32 | l.objid::bigint) = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# Whether this session holds the lock, and the schema's revision.
_OURS = f"""
SELECT EXISTS (
    SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.pid = pg_backend_pid() AND (l.classid::bigint << 32 | l.objid::bigint) = %s
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT version_num FROM public.{VERSION_TABLE})
"""  # noqa: S608 - a constant


def lock_id() -> int:
    """The lock's 64-bit key: the first eight bytes of the SHA-256 of its name."""
    return int.from_bytes(hashlib.sha256(NAME.encode()).digest()[:8], "big", signed=True)


def attempt(settings: Settings, *, pid: int | None = None) -> str:
    """The statement that tries once: true or false; NULL when a `pid` is given and the session has
    another one.
    """
    return _TRY.format(
        key=lock_id(), pid=pid or "pg_backend_pid()", idle=int(settings.max_idle * 1000)
    )


def acquire(
    connection: Connection, settings: Settings, *, wait: float = 0, pause: float = 0.5
) -> int:
    """Takes the lock, trying for `wait` seconds; returns its id.

    Raises LockHeldError naming the holder. Tries in a loop, because a blocking call in a
    resource's set-up cannot be interrupted.
    """
    key = lock_id()
    deadline = time.monotonic() + wait
    reported = False
    while True:
        row = connection.execute(attempt(settings).encode()).fetchone()
        if row and row[0]:
            return log_acquired()
        _end_frozen(connection, settings)
        if time.monotonic() >= deadline:
            raise LockHeldError(_held(connection, key, wait))
        if not reported:
            logger.info("waiting for the advisory lock", extra={"lock_id": key})
            reported = True
        time.sleep(min(pause, max(0.01, deadline - time.monotonic())))


def log_acquired() -> int:
    """Returns the lock's id."""
    logger.info("advisory lock acquired", extra={"lock_id": lock_id()})
    return lock_id()


def _end_frozen(connection: Connection, settings: Settings) -> None:
    after = max(settings.max_idle, settings.statement_timeout)
    for _ in connection.execute(_END_FROZEN, (lock_id(), after)):
        logger.warning("ended the session of a frozen sync", extra={"idle_seconds": after})


def release(connection: Connection) -> None:
    """Releases the lock. A connection that was interrupted in a statement can only be closed, which
    releases it too, as soon as the server notices.
    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        connection.close()
        return
    with suppress(psycopg.Error):  # lost just now, and the lock with it
        connection.execute(_RELEASE, (lock_id(),))


HELD: Query = (_OURS, (lock_id(),))
"""Whether this very session still holds the lock, and the schema's revision: the last statement
before a commit.
"""


def require_held(rows: Sequence[TupleRow]) -> None:
    """Takes the rows of HELD. Raises DatabaseError unless the session holds the lock, SchemaError
    when the schema was upgraded meanwhile, by something that did not take it.
    """
    ((held, found),) = rows
    if not held:
        raise DatabaseError(
            "the advisory lock was lost before the commit, nothing was written; a pooler in"
            " transaction mode between here and PostgreSQL breaks session locks: connect directly"
        )
    if found != REVISIONS[-1]:
        raise SchemaError(
            f"the database was upgraded to revision {found} during this sync, and this software"
            f" needs {REVISIONS[-1]}; nothing was written; update the software"
        )


def holder(connection: Connection) -> tuple[object, ...] | None:
    """(pid, application_name, since) of the lock's holder, or None."""
    return connection.execute(_HOLDER, (lock_id(),)).fetchone()


def _held(connection: Connection, key: int, wait: float) -> str:
    waited = f" (waited {wait:g} s)" if wait else ""
    found = holder(connection)
    if found is None:
        return f"another sync held the lock {key} a moment ago{waited}; nothing was done, try again"
    pid, name, since = found
    return (
        f"another sync holds the lock: {name or 'a session of another role'}, pid {pid},"
        f" since {since}{waited}; nothing was done"
    )
