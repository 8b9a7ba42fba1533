"""Dedicated connections: what a sync writes with, and what its lock lives on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.errors import DatabaseError, OddinsError, SchemaError
from oddins_pipeline.logs import sanitize

Connection = psycopg.Connection[TupleRow]

# A host that is lost must not keep its lock for hours: the server detects it within a minute.
# An interrupted client must not keep it until its statement ends: the server checks each second.
# Compiling a merge costs five times what running it does. The memory is the most that a join or
# the staging tables may take before they go to disk; today's response needs a tenth of it.
_SESSION = """
SELECT set_config('tcp_keepalives_idle', '20', false),
       set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false),
       set_config('tcp_user_timeout', '50000', false),
       set_config('client_connection_check_interval', '1000', false),
       set_config('statement_timeout', %s, false),
       set_config('jit', 'off', false),
       set_config('work_mem', '64MB', false),
       set_config('temp_buffers', '64MB', false),
       set_config('timezone', 'UTC', false),
       set_config('datestyle', 'ISO, YMD', false),
       set_config('search_path', 'public', false),
       current_setting('server_encoding')
"""


def connect(workspace: Workspace, *, purpose: str) -> Connection:
    """Opens one connection in autocommit mode, named `oddins <purpose> …` on the server.

    Raises DatabaseError when the server cannot be reached, SchemaError when the database's
    encoding is not UTF8 (psycopg would return bytes).
    """
    settings = workspace.settings
    name = f"oddins {purpose} {socket.gethostname()[:20]}:{os.getpid()}"
    with database_errors():
        connection = psycopg.connect(
            workspace.url,
            autocommit=True,
            connect_timeout=settings.database_connect_timeout,
            application_name=name[:63],
            keepalives_idle=20,
            keepalives_interval=10,
            keepalives_count=3,
        )
        try:
            row = connection.execute(
                _SESSION, (str(int(settings.statement_timeout * 1000)),)
            ).fetchone()
            encoding = row[-1] if row else None
            if encoding not in {"UTF8", b"UTF8"}:
                raise SchemaError(
                    "the database's encoding is not UTF8; recreate it WITH ENCODING 'UTF8'"
                )
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def database_errors() -> Iterator[None]:
    """Maps psycopg's errors to DatabaseError: one redacted line with a hint."""
    try:
        yield
    except OddinsError:
        raise
    except psycopg.errors.UndefinedTable as error:
        raise SchemaError(f"{sanitize(str(error), 200)}; run `oddins db upgrade`") from None
    except psycopg.OperationalError as error:
        raise DatabaseError(
            f"the database failed or cannot be reached: {sanitize(str(error), 400)};"
            " check that PostgreSQL runs and that DATABASE_URL is right"
        ) from None
    except psycopg.Error as error:
        raise DatabaseError(f"the database refused: {sanitize(str(error), 400)}") from None
