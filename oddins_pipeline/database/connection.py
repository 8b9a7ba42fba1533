"""Dedicated connections: what a sync writes with, and what its lock lives on."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.errors import DatabaseError, OddinsError, SchemaError
from oddins_pipeline.logs import register_secrets, sanitize

Connection = psycopg.Connection[TupleRow]

# What role, database, server or environment may have set otherwise: how long a statement or a
# session may take, how values look, how statements are read, what a transaction sees.
# A host that is lost must not keep its lock for hours: the server detects it within a minute.
# An interrupted client must not keep it until its statement ends: the server checks each second.
# Compiling a merge costs five times what running it does. The memory is the most that a join
# may take before it goes to disk; today's response needs a tenth of it.
# Rows that a policy hides would be taken for missing: such a query fails instead.
_PINNED = {
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "50000",
    "client_connection_check_interval": "1000",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "row_security": "off",
    "search_path": "public",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "exit_on_error": "off",
    "client_min_messages": "warning",
    "jit": "off",
    "work_mem": "64MB",
}
HAS_TRANSACTION_TIMEOUT = 170_000
NO_TRANSACTION_TIMEOUT = "SET transaction_timeout = 0"

# The time-outs alone and first: any other statement might take longer than those in force.
_PIN = """
{first};
SET statement_timeout = {statement_timeout};
BEGIN;
SELECT set_config(key, value, false) FROM json_each_text('{values}');
COMMIT;
"""
_RESULTS_OF_PIN = 5
_TIMED_OUT = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.TransactionTimeout,
    psycopg.errors.IdleSessionTimeout,
)
_ATTEMPTS = 5


def connect(workspace: Workspace, *, purpose: str, read_only: bool = False) -> Connection:
    """Opens one connection in autocommit mode, named `oddins <purpose> …` on the server.

    Raises DatabaseError when the server cannot be reached, SchemaError when the database's
    encoding is not UTF8 (psycopg would return bytes).
    """
    return connect_and_execute(workspace, None, purpose=purpose, read_only=read_only)[0]


def connect_and_execute(
    workspace: Workspace,
    first: Callable[[int], str] | None,
    *,
    purpose: str,
    read_only: bool = False,
) -> tuple[Connection, psycopg.Cursor[TupleRow]]:
    """The same, and a cursor at the first result of the statements that `first` makes of the
    session's process id; they are sent with the session's settings, in one round trip.
    """
    with database_errors():
        for _ in range(_ATTEMPTS - 1):
            # A time-out of a millisecond, not yet replaced, may hit the first statements.
            with suppress(*_TIMED_OUT):
                return _connect(workspace, first, purpose=purpose, read_only=read_only)
        return _connect(workspace, first, purpose=purpose, read_only=read_only)


def _connect(
    workspace: Workspace, first: Callable[[int], str] | None, *, purpose: str, read_only: bool
) -> tuple[Connection, psycopg.Cursor[TupleRow]]:
    settings = workspace.settings
    name = f"oddins {purpose} {platform.node()[:20]}:{os.getpid()}"
    connection = psycopg.connect(
        workspace.url,
        autocommit=True,
        client_encoding="UTF8",
        connect_timeout=settings.database_connect_timeout,
        application_name=name[:63],
        keepalives_idle=20,
        keepalives_interval=10,
        keepalives_count=3,
    )
    try:
        # It may come from a password file, which only libpq can read.
        register_secrets([connection.info.password])
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise SchemaError(
                "the database's encoding is not UTF8; recreate it WITH ENCODING 'UTF8'"
            )
        pin = _pin(connection, settings.statement_timeout, read_only=read_only)
        statements = first(connection.info.backend_pid) if first else ""
        cursor = connection.execute(f"{pin}{statements}".encode())
        for _ in range(_RESULTS_OF_PIN):
            cursor.nextset()
    except BaseException:
        connection.close()
        raise
    return connection, cursor


def _pin(connection: Connection, statement_timeout: float, *, read_only: bool) -> str:
    values = {**_PINNED, "default_transaction_read_only": "on" if read_only else "off"}
    known = connection.info.server_version >= HAS_TRANSACTION_TIMEOUT
    return _PIN.format(
        first=NO_TRANSACTION_TIMEOUT if known else "SET lock_timeout = 0",
        statement_timeout=int(statement_timeout * 1000),
        values=json.dumps(values),
    )


def scalar(connection: Connection, statement: str, values: Sequence[Any] | None = None) -> Any:
    """The first column of the statement's first row; None when it has none."""
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None


Query = tuple[str, Mapping[str, Any] | Sequence[Any] | None]
"""A statement and its parameters."""


def execute_batch(connection: Connection, *queries: Query) -> list[list[TupleRow]]:
    """Executes the statements in one round trip, and in one transaction; returns the rows of each.

    Values are quoted here, because the server takes several statements only without parameters.
    (psycopg's pipeline mode ends with a Flush, after which a session is no longer idle to the
    server: `idle_session_timeout` would not end a frozen one.)
    """
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(";".join(cursor.mogrify(*query) for query in queries).encode())
    return [cursor.fetchall() if part.description else [] for part in cursor.results()]


@contextmanager
def database_errors() -> Iterator[None]:
    """Maps psycopg's errors to DatabaseError: one redacted line with a hint."""
    try:
        yield
    except OddinsError:
        raise
    except psycopg.errors.UndefinedTable as error:
        raise SchemaError(f"{server_text(error, 200)}; run `oddins db upgrade`") from None
    except _FORBIDDEN as error:
        raise SchemaError(
            f"the database forbids it: {server_text(error, 300)}; `oddins doctor` names the fix"
        ) from None
    except _IDLE_TOO_LONG as error:
        raise DatabaseError(
            f"{server_text(error, 200)}: this process did nothing for too long (frozen, or its"
            " machine paused); its lock was given up and nothing more was written; run it again"
        ) from None
    except psycopg.Error as error:
        if _is_unreachable(error):
            fix = TOO_MANY if _FULL.search(str(error)) else _CHECK
            raise DatabaseError(
                f"the database failed or cannot be reached: {server_text(error, 400)}; {fix}"
            ) from None
        hint = next((f"; {fix}" for kind, fix in _LIMITS if isinstance(error, kind)), "")
        kind = (
            SchemaError if isinstance(error, psycopg.errors.ProgramLimitExceeded) else DatabaseError
        )
        raise kind(f"the database refused: {server_text(error, 400)}{hint}") from None


def server_text(error: psycopg.Error, limit: int) -> str:
    """What the server said, without the place in our own statement."""
    return sanitize(re.sub(r"\nLINE \d+: .*(\n *\^)?", "", str(error)), limit)


# A connection that is refused has no SQLSTATE: by the server's words, where they are English.
_FULL = re.compile("too many (connections|clients)|connection slots are reserved")
TOO_MANY = (
    "a sync needs three connections: raise CONNECTION LIMIT or max_connections, or end other"
    " sessions"
)
_CHECK = "check that PostgreSQL runs and that DATABASE_URL is right"

_FORBIDDEN = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)
_LIMITS = (
    (psycopg.errors.DiskFull, "free space on the server's disk"),
    (psycopg.errors.OutOfMemory, "give the server more memory"),
    (psycopg.errors.ConfigurationLimitExceeded, "raise the setting that it names"),
    (psycopg.errors.ProgramLimitExceeded, "retrying does not help: report it"),
)
"""Limits of the server, and what to do."""

_IDLE_TOO_LONG = (
    psycopg.errors.IdleSessionTimeout,
    psycopg.errors.IdleInTransactionSessionTimeout,
)


def _is_unreachable(error: psycopg.Error) -> bool:
    """Not so when the server has refused a statement, for want of disk or of room in an index."""
    lost = error.sqlstate is None or error.sqlstate.startswith(("08", "57P", "28", "3D"))
    return isinstance(error, psycopg.OperationalError) and lost
