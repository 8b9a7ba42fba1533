"""The sessions of Dagster's storage: interruptible, and without repeated look-ups."""

from __future__ import annotations

import select
import threading
import time
from typing import Any

import psycopg
import psycopg2
from dagster import DagsterExecutionInterruptedError
from dagster._utils.interrupts import check_captured_interrupt
from psycopg.conninfo import conninfo_attempts, timeout_from_conninfo
from psycopg2.extensions import POLL_OK, POLL_READ, set_wait_callback
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import Connection
from sqlalchemy.types import NullType

from oddins_pipeline.database.connection import HAS_TRANSACTION_TIMEOUT, NO_TRANSACTION_TIMEOUT

SCHEMA = "dagster"
DIALECT = "postgresql+oddins"
ANSWER_S = 0.25
"""A statement that is answered sooner is not interrupted."""

# Whether the pinned search path holds, and the columns of each table in it.
_TABLES = """
SELECT current_setting('search_path') = %(schema)s, (
    SELECT json_object_agg(relname, columns) FROM (
        SELECT relname, array_agg(attname) AS columns
        FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid
        WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind = 'r'
        AND attnum > 0 AND NOT attisdropped
        GROUP BY relname
    ) AS tables
)
"""

_connecting = threading.local()


class Interruption:
    """When a signal came: waits go on for `GRACE_S`, so that a run can record its end; after that
    nothing hangs any more.
    """

    GRACE_S = 2.0

    def __init__(self) -> None:
        """None came yet."""
        self.noted_at: float | None = None

    def note(self) -> None:
        """A signal came."""
        if self.noted_at is None:
            self.noted_at = time.monotonic()

    def check(self) -> None:
        """Raises DagsterExecutionInterruptedError after a signal, one that Dagster holds back too,
        in the thread that signals interrupt.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        if check_captured_interrupt():
            self.note()
        if self.noted_at is not None and time.monotonic() > self.noted_at + self.GRACE_S:
            raise DagsterExecutionInterruptedError


interruption = Interruption()


def wait(connection: Any) -> None:
    """Waits for the server in Python, where libpq would not see a signal before its answer."""
    deadline = getattr(_connecting, "deadline", None)
    try:
        while (state := connection.poll()) != POLL_OK:
            descriptors = [connection.fileno()]
            reads = (descriptors, []) if state == POLL_READ else ([], descriptors)
            if not any(select.select(*reads, [], ANSWER_S)):
                interruption.check()
                if deadline and time.monotonic() > deadline:
                    raise psycopg2.OperationalError("connection timeout expired")
    except KeyboardInterrupt:
        interruption.note()
        raise


set_wait_callback(wait)


def _pinned(connection: Any) -> Any:
    """With the one setting that older servers refuse as a parameter of the connection."""
    if connection.server_version >= HAS_TRANSACTION_TIMEOUT:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(NO_TRANSACTION_TIMEOUT)
    return connection


class CatalogDialect(PGDialect_psycopg2):
    """psycopg2 on sessions whose settings are pinned. Which tables and columns exist is looked up
    once: Dagster asks before nearly every call.
    """

    supports_statement_cache = True

    def __init__(self, **options: Any) -> None:
        """Starts with nothing looked up."""
        super().__init__(use_native_hstore=False, **options)  # type: ignore[no-untyped-call]
        self.tables: dict[str, list[str]] = {}

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Tries each host for the URL's `connect_timeout`, which libpq keeps only where it waits
        by itself.
        """
        try:
            attempts = conninfo_attempts(options)
            timeout = timeout_from_conninfo(options)
        except psycopg.Error as error:  # no host of that name
            raise psycopg2.OperationalError(str(error)) from None
        for left, attempt in zip(range(len(attempts))[::-1], attempts, strict=True):
            _connecting.deadline = time.monotonic() + timeout
            try:
                return _pinned(super().connect(*arguments, **attempt))
            except psycopg2.OperationalError as error:
                if not left:
                    at = f"connection to {attempt.get('host')}, port {attempt.get('port', 5432)}"
                    raise psycopg2.OperationalError(f"{at} failed: {error}") from None
            finally:
                _connecting.deadline = None
        return None

    def load_tables(self, connection: Connection) -> bool:
        """Looks up the tables; whether the session sees them at all."""
        visible, tables = connection.exec_driver_sql(_TABLES, {"schema": SCHEMA}).one()
        self.tables = tables or {}
        return bool(visible)

    def _get_server_version_info(self, connection: Connection) -> tuple[int, int]:
        session: Any = connection.connection.dbapi_connection
        major, minor = divmod(int(session.server_version), 10_000)
        return major, minor

    def _get_default_schema_name(self, connection: Connection) -> str:
        return SCHEMA

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        """As pinned."""
        return "READ COMMITTED"

    def _set_backslash_escapes(self, connection: Connection) -> None:
        self._backslash_escapes = False  # standard_conforming_strings is pinned

    def has_table(self, connection: Connection, table_name: str, *args: Any, **kw: Any) -> bool:
        """Whether the table exists."""
        return table_name in self.tables or bool(
            super().has_table(connection, table_name, *args, **kw)  # type: ignore[no-untyped-call]
        )

    def get_columns(self, connection: Connection, table_name: str, *args: Any, **kw: Any) -> Any:
        """The table's columns: their names only where it has been looked up."""
        if columns := self.tables.get(table_name):
            return [{"name": name, "type": NullType()} for name in columns]
        return super().get_columns(connection, table_name, *args, **kw)  # type: ignore[no-untyped-call]

    def get_table_names(self, connection: Connection, *args: Any, **kw: Any) -> Any:
        """The names of all tables."""
        return list(self.tables) or super().get_table_names(connection, *args, **kw)  # type: ignore[no-untyped-call]


registry.register(DIALECT.replace("+", "."), __name__, CatalogDialect.__name__)
