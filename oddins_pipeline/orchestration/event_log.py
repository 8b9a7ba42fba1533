"""Dagster's event log, written behind: a run does not wait for each of its events.

Events are stored in order, in batches: those of up to `DELAY_S`, sooner when this process reads the
log or a run changes its status. So no status is visible before the events that led to it.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from dagster import DagsterEventType, DagsterExecutionInterruptedError, EventLogEntry
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.event_log import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.event_log.event_log import CHANNEL_NAME
from sqlalchemy import Text, cast, func
from sqlalchemy.engine import Connection

from oddins_pipeline.orchestration.storage_session import ANSWER_S, interruption

DELAY_S = 0.2
ID = SqlEventLogStorageTable.c.id
_storages: weakref.WeakSet[EventLogStorage] = weakref.WeakSet()
# Dagster's own storage sends it for instances of older versions.
NOTIFY = func.pg_notify(CHANNEL_NAME, SqlEventLogStorageTable.c.run_id + "_" + cast(ID, Text))


class EventLogStorage(PostgresEventLogStorage):
    """dagster-postgres's event log behind a queue. An error of a batch is raised by the next event
    of Dagster's in each run concerned: no run succeeds whose events are lost.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Starts with nothing pending."""
        self._pending: list[EventLogEntry] = []
        self._queueing = threading.Lock()
        self._writing = threading.Lock()
        self._writer: int | None = None
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
        if self._writer == threading.get_ident():  # writing reads, too
            return
        while not self._writing.acquire(timeout=ANSWER_S):
            interruption.check()
        try:
            self._writer = threading.get_ident()
            if self._pending:
                self._store_batch()
        finally:
            self._writer = None
            self._writing.release()

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
        try:
            with self._connect() as connection:
                with self._queueing:
                    events, self._pending = self._pending, []
                insert = self.prepare_insert_event_batch(events).returning(ID, NOTIFY)
                ids = [row[0] for row in connection.execute(insert)]
            self._index(events, ids)
        except Exception as error:
            if not events:
                raise
            self._errors |= {event.run_id: error for event in events}

    def _index(self, events: Sequence[EventLogEntry], ids: Sequence[int]) -> None:
        stored = list(zip(events, ids, strict=True))
        if assets := [each for each in stored if _concerns_asset(each[0])]:
            with self.index_transaction() as connection:
                self._store_asset_event_tags(connection, *zip(*assets, strict=True))
                for event, event_id in assets:
                    self._store_asset_event(connection, event, event_id)
        for event, event_id in stored:
            if event.dagster_event_type in ASSET_CHECK_EVENTS:
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
        self.flush()
        with super().index_connection() as connection:
            yield connection

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
