"""Dagster's event log, written behind: a run does not wait for each of its events.

Events are stored in order, in batches: those of up to `DELAY_S`, sooner when this process reads the
log or a run changes its status. So no status is visible before the events that led to it. A batch
is two round trips: the events, and what is kept beside them (asset keys, tags, checks).
"""

from __future__ import annotations

import atexit
import json
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterExecutionInterruptedError,
    EventLogEntry,
    EventLogRecord,
)
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.event_log import SqlEventLogStorageTable
from dagster._core.storage.event_log.base import AssetRecord
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._serdes import deserialize_value
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.event_log.event_log import CHANNEL_NAME
from sqlalchemy import Text, cast, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql import Executable

from oddins_pipeline.orchestration.storage_session import ANSWER_S, interruption

DELAY_S = 0.2
ID = SqlEventLogStorageTable.c.id
_storages: weakref.WeakSet[EventLogStorage] = weakref.WeakSet()
# Dagster's own storage sends it for instances of older versions.
NOTIFY = func.pg_notify(CHANNEL_NAME, SqlEventLogStorageTable.c.run_id + "_" + cast(ID, Text))
CHECKS = AssetCheckExecutionsTable.c
CHECK_ROWS = select(CHECKS.run_id, CHECKS.asset_key, CHECKS.check_name, CHECKS.partition)


class StatementList:
    """Stands in for a connection: what Dagster writes is kept, to be sent in one round trip."""

    def __init__(self, connection: Connection) -> None:
        """Reads are executed on `connection` at once."""
        self.connection = connection
        self.thread = threading.get_ident()
        self.statements: list[bytes] = []

    def execute(self, statement: Any, rows: Any = None) -> Any:
        """The result of a read; of a write, that it met a row: who depends on it must look."""
        if statement.is_select:
            return self.connection.execute(statement)
        self.statements.append(self._literal(statement.values(rows) if rows else statement))
        return SimpleNamespace(rowcount=1)

    def send(self, last: Executable) -> list[tuple[Any, ...]]:
        """Executes what was kept and `last`, in one transaction as PostgreSQL has it, and returns
        the rows of `last`.
        """
        joined = b";".join([*self.statements, self._literal(last)]).decode()
        rows = self.connection.exec_driver_sql(joined, execution_options={"no_parameters": True})
        return [tuple(row) for row in rows]

    def _literal(self, statement: Any) -> bytes:
        compiled = statement.compile(
            dialect=self.connection.dialect, compile_kwargs={"render_postcompile": True}
        )
        session: Any = self.connection.connection.dbapi_connection
        with session.cursor() as cursor:
            filled: bytes = cursor.mogrify(str(compiled), compiled.params)
            return filled


class EventLogStorage(PostgresEventLogStorage):
    """dagster-postgres's event log behind a queue. An error of a batch is raised by the next event
    of Dagster's in each run concerned: no run succeeds whose events are lost.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Starts with nothing pending."""
        self._pending: list[EventLogEntry] = []
        self._queueing = threading.Lock()
        self._writing = threading.Lock()
        self._silent: set[int] = set()  # threads whose reads store nothing
        self._beside: StatementList | None = None
        self._errors: dict[str, Exception] = {}
        super().__init__(*args, **options)
        _storages.add(self)

    def store_event(self, event: EventLogEntry) -> None:
        """Queues the event; a run's status follows its event, so that one is stored at once.

        Replaces PostgresEventLogStorage.store_event, which waits for two to eight statements.
        """
        with self._queueing:
            self._pending.append(event)
            first = len(self._pending) == 1
        if not event.run_id or (event.is_dagster_event and _changes_status(event)):
            self.flush()
        elif first:
            self._start_timer()
        if event.is_dagster_event and event.run_id in self._errors:
            raise self._errors.pop(event.run_id)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Queues the events."""
        for event in events:
            self.store_event(event)

    def flush(self) -> None:
        """Stores what is pending. Raises DagsterPostgresException, DBAPIError without a connection:
        then it is still pending.
        """
        if threading.get_ident() in self._silent:
            return
        while not self._writing.acquire(timeout=ANSWER_S):
            interruption.check()
        try:
            with self._silently():
                if self._pending:
                    self._store_batch()
        finally:
            self._writing.release()

    @contextmanager
    def _silently(self) -> Iterator[None]:
        self._silent.add(threading.get_ident())
        try:
            yield
        finally:
            self._silent.discard(threading.get_ident())

    def _start_timer(self) -> None:
        timer = threading.Timer(DELAY_S, self._flush_later)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # no further thread, or the interpreter ends
            self.flush()

    def _flush_later(self) -> None:
        try:
            self.flush()
        except Exception:  # noqa: BLE001 - whoever waits for the log raises it
            self._start_timer()

    def _store_batch(self) -> None:
        events: list[EventLogEntry] = []
        ids: list[int] = []
        try:
            with self._connect() as connection:
                with self._queueing:
                    events, self._pending = self._pending, []
                insert = self.prepare_insert_event_batch(events).returning(ID, NOTIFY)
                ids = [row[0] for row in connection.execute(insert)]
                self._store_beside(connection, list(zip(events, ids, strict=True)))
        except Exception as error:
            if not events:
                raise
            self._errors |= {event.run_id: error for event in events}
        except BaseException:  # a signal
            if not ids:
                with self._queueing:
                    self._pending[:0] = events
            raise

    def _store_beside(
        self, connection: Connection, stored: Sequence[tuple[EventLogEntry, int]]
    ) -> None:
        """What Dagster keeps beside events: the latest of each asset, tags, check results."""
        self._beside = beside = StatementList(connection)
        try:
            for event, event_id in stored:
                if _concerns_asset(event):
                    self._store_asset_event_tags(beside, [event], [event_id])  # type: ignore[arg-type]
                    self._store_asset_event(beside, event, event_id)  # type: ignore[arg-type]
                elif event.dagster_event_type in ASSET_CHECK_EVENTS:
                    self.store_asset_check_event(event, event_id)
        finally:
            self._beside = None
        if not beside.statements:
            return
        rows = beside.send(CHECK_ROWS.where(CHECKS.run_id.in_({each.run_id for each, _ in stored})))
        for event, event_id in stored:
            if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                found: Any = event.get_dagster_event().event_specific_data
                of = (event.run_id, found.asset_key.to_string(), found.check_name, found.partition)
                if of not in rows:  # it was not planned: there was no row to update
                    self.store_asset_check_event(event, event_id)

    @contextmanager
    def run_connection(self, run_id: str | None = None) -> Iterator[Connection]:
        """A connection that sees all events stored so far."""
        self.flush()
        with super().run_connection(run_id) as connection:
            yield connection

    @contextmanager
    def index_connection(self) -> Iterator[Connection]:
        """A connection that sees all events stored so far."""
        beside = self._beside
        if beside is not None and beside.thread == threading.get_ident():
            yield beside  # type: ignore[misc]
            return
        self.flush()
        with super().index_connection() as connection:
            yield connection

    def get_asset_records(
        self, asset_keys: Sequence[AssetKey] | None = None
    ) -> Sequence[AssetRecord]:
        """Of what is pending only assets' events concern them."""
        if self._writing.locked() or any(map(_concerns_asset, self._pending)):
            self.flush()
        with self._silently():
            return super().get_asset_records(asset_keys)

    def _get_latest_materialization_records(
        self, raw_asset_rows: Sequence[Any]
    ) -> Mapping[AssetKey, EventLogRecord | None]:
        """Where each row holds its record, Dagster still queries the log, for no asset
        (SqlEventLogStorage._get_latest_materialization_records, 1.13).
        """
        records = {}
        for row in raw_asset_rows:
            stored, wiped = row["last_materialization"], row["asset_details"]
            record = deserialize_value(stored) if stored and not wiped else None
            if not isinstance(record, EventLogRecord):
                return super()._get_latest_materialization_records(raw_asset_rows)
            records[AssetKey(json.loads(row["asset_key"]))] = record
        return records

    def dispose(self) -> None:
        """Stores what is pending."""
        try:
            self.flush()
        finally:
            super().dispose()


def _changes_status(event: EventLogEntry) -> bool:
    """Whether other processes act on the event. A run's start concerns its own process only."""
    dagster_event = event.get_dagster_event()
    return dagster_event.is_job_event and dagster_event.event_type != DagsterEventType.RUN_START


def _concerns_asset(event: EventLogEntry) -> bool:
    kind = event.dagster_event_type
    return kind in ASSET_EVENTS and event.get_dagster_event().asset_key is not None


@atexit.register
def _flush_all() -> None:
    """Stores what a process still has pending that exits without `dispose`."""
    for storage in list(_storages):
        with suppress(Exception, DagsterExecutionInterruptedError):
            storage.flush()
