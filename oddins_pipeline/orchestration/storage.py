"""Dagster's own storage, kept in the schema `dagster` of the catalog's database.

dagster.yaml names `CatalogStorage` under `storage: custom:`, without any config: what travels to
run workers and code servers (`InstanceRef`, visible in `ps`) is the class's name, and each
process reads the settings for itself. dagster-postgres does the work; three things differ:
one pool of connections serves runs, events and schedules, where it opens a connection for nearly
every call; processes that start together on an empty database create the tables one at a time;
and round trips are saved: an event is one statement, the schema is looked up once per process.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from dagster import DagsterExecutionInterruptedError
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import DagsterPostgresException, retry_pg_connection_fn
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, DisconnectionError, ProgrammingError
from sqlalchemy.pool import NullPool

from oddins_pipeline.config.database_url import parse
from oddins_pipeline.errors import DatabaseError, SchemaError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.orchestration.event_log import EventLogStorage
from oddins_pipeline.orchestration.schedule_storage import ScheduleStorage
from oddins_pipeline.orchestration.storage_session import DIALECT, SCHEMA, CatalogDialect

APPLICATION_NAME = "oddins dagster"
SETTINGS = {
    "search_path": SCHEMA,
    "timezone": "UTC",  # its columns hold UTC without saying so
    "datestyle": "ISO",
    "statement_timeout": "300s",
    "lock_timeout": "60s",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": r"read\ committed",
    "default_transaction_read_only": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "exit_on_error": "off",
    "client_min_messages": "warning",
}
"""Of every session, whatever role, database or server set."""
TABLES = frozenset({"runs", "instance_info", "event_logs", "jobs"})
"""One table of each storage, and the newest of the run storage: present when all are."""

CREATION_LOCK = 0x0DD1_0DA6_57E2
"""Advisory lock held while the tables are made; any constant that nothing else uses."""


SESSION_OPTIONS = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "50000",
}
"""As the catalog's own connections have them; what the URL says comes first."""

PING_AFTER_S = 30


class CatalogStorage(DagsterPostgresStorage):
    """dagster-postgres on the catalog's database, with one pool for its three storages."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Connects, and makes schema and tables when absent. Raises DatabaseError, SchemaError."""
        engine = _engine(postgres_url, os.getpid())
        _ensure_tables(postgres_url, engine)
        super().__init__(postgres_url, should_autocreate_tables=False, inst_data=inst_data)
        self._event_log_storage = EventLogStorage(postgres_url, should_autocreate_tables=False)
        self._schedule_storage = ScheduleStorage(postgres_url, should_autocreate_tables=False)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine  # noqa: SLF001 - theirs has no pool and is not connected yet

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No fields: the settings say where the catalog is."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 - Dagster's signature
    ) -> CatalogStorage:
        """The storage at the settings' catalog. Raises UsageError when they name none."""
        from oddins_pipeline.config.workspace import load_workspace

        return cls(storage_url(load_workspace(reads_only=True).url), inst_data)


def storage_url(catalog_url: str) -> str:
    """The same database over our psycopg2 dialect, with `dagster` as its only schema.

    All other parameters (sslmode, host, …) stay; `options` is added to. `public` is left out of
    the search path, or Dagster would take the catalog's tables and migrations for its own.
    """
    query = SESSION_OPTIONS | parse(catalog_url)
    options = " ".join(f"-c{name}={value}" for name, value in SETTINGS.items())
    query |= {
        "options": f"{query.get('options', '')} {options}".strip(),
        "application_name": APPLICATION_NAME,
        "client_encoding": "UTF8",
    }
    url = URL.create(
        DIALECT,
        # A password alone, and hosts and ports in their every form, fit into the query only.
        password=query.pop("password", None) if "user" in query else None,
        username=query.pop("user", None),
        database=query.pop("dbname", None),
        query=query,
    )
    return url.render_as_string(hide_password=False)


@lru_cache(maxsize=2)  # a process has one database; tests have many
def _engine(postgres_url: str, pid: int) -> Engine:  # noqa: ARG001 - a forked child gets its own
    """One engine per database and process, however often Dagster makes an instance.

    Two connections stay open; more are made when threads need them and closed after use.
    """
    engine = create_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",  # as dagster-postgres has it
        pool_size=2,
        max_overflow=-1,
        pool_use_lifo=True,
    )
    event.listen(engine, "checkout", _check_alive)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "before_cursor_execute", _before_ddl)
    return engine


def _note_use(connection: Any, record: Any) -> None:
    if connection is not None:
        record.info["used_at"] = time.monotonic()


def _check_alive(connection: Any, record: Any, proxy: Any) -> None:  # noqa: ARG001
    """Replaces a connection that the server closed: seen without a round trip, if not idle long.

    A server that ends a session sends a message and closes the socket: there is something to read.
    """
    used_at = record.info.get("used_at")
    if used_at is None:  # just connected
        return
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        raise DisconnectionError
    if time.monotonic() - used_at > PING_AFTER_S:
        try:
            connection.cursor().execute("SELECT 1")
        except connection.Error as error:
            raise DisconnectionError from error


def _before_ddl(connection: Connection, cursor: Any, *details: Any) -> None:
    """`dagster instance migrate`: each change may take its time, and is looked up again."""
    context = details[2]
    if context is not None and context.isddl and isinstance(connection.dialect, CatalogDialect):
        connection.dialect.tables.clear()
        cursor.execute("SET statement_timeout = 0")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Maps what Dagster's storage raises when the database is lost to DatabaseError, and a signal
    while it waited to KeyboardInterrupt.
    """
    try:
        yield
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    except (DagsterPostgresException, DBAPIError) as error:
        cause = error.__cause__ or error
        reason = sanitize(str(getattr(cause, "orig", cause)), 400)
        raise DatabaseError(f"the database of Dagster's storage: {reason}") from None


def _ensure_tables(postgres_url: str, engine: Engine) -> None:
    """Makes schema and tables when one is missing, one process at a time."""
    if _tables(engine) >= TABLES:
        return
    lock = create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    # Closing it, and so the session, frees the lock.
    with retry_pg_connection_fn(lock.connect, retry_limit=3) as connection:
        connection.execute(text("SET lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": CREATION_LOCK})
        if _tables(engine) >= TABLES:
            return
        query = text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
        if connection.execute(query, {"schema": SCHEMA}).first() is None:
            # Only when absent: IF NOT EXISTS asks for the right to create in either case.
            try:
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            except ProgrammingError:
                raise SchemaError(
                    f"this database role may not create the schema {SCHEMA} that Dagster's"
                    f" tables need; as the owner: CREATE SCHEMA {SCHEMA} AUTHORIZATION <role>"
                ) from None
        DagsterPostgresStorage(postgres_url)
    _tables(engine)


def _tables(engine: Engine) -> frozenset[str]:
    """Names of the tables in Dagster's schema. Raises DatabaseError, SchemaError."""
    dialect = engine.dialect
    assert isinstance(dialect, CatalogDialect)
    with (
        storage_errors(),
        # Sees a database through its restart: 1.4 s in all.
        retry_pg_connection_fn(engine.connect, retry_limit=3) as connection,
    ):
        visible = dialect.load_tables(connection)
    if not visible:
        raise SchemaError(
            f"the search path of Dagster's storage is not {SCHEMA}: a pooler ignores the"
            " connection parameter `options`. Connect to PostgreSQL directly"
        )
    return frozenset(dialect.tables)
