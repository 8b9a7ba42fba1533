"""One run's session: the connection that holds the lock and writes everything."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from psycopg.pq import TransactionStatus

from oddins_pipeline.catalog.account import Account
from oddins_pipeline.config.workspace import SAMPLE_ADDRESS, Workspace
from oddins_pipeline.database import lock, revision
from oddins_pipeline.database.connection import (
    Connection,
    connect,
    connect_and_execute,
    database_errors,
    scalar,
)
from oddins_pipeline.database.pool import pool, reading
from oddins_pipeline.database.pooler import refuse_transaction_pooler
from oddins_pipeline.database.readiness import RIGHTS, load_readiness
from oddins_pipeline.database.requests import RequestLog
from oddins_pipeline.errors import UsageError
from oddins_pipeline.provider.client import ApiFootball

logger = logging.getLogger(__name__)

PURPOSE = "sync"
APPLICATION = f"oddins {PURPOSE}"
"""The `application_name` of a run's connection starts with it; the first 8 characters of the run's
id follow.
"""

SAMPLE_KEY = "sample-provider-needs-no-key"


# The address under which a source's last response was archived.
_ADDRESS = "SELECT base_url FROM provider_sources WHERE name = %s"


@dataclass
class Session:
    """One run's connection and lock."""

    workspace: Workspace
    connection: Connection
    run_id: str | None
    held: ExitStack = field(default_factory=ExitStack)
    """What ends with the lock."""
    released: bool = False
    opened_at: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it took the lock, those in which its process was stopped among them."""
        return time.monotonic() - self.opened_at

    def release(self) -> None:
        """Gives the lock back. The connection stays: it shows that the run is alive; when it is
        lost, nothing fails.
        """
        self.released = True
        self.held.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The run's own connection; a pooled, read-only one when that is lost or busy."""
        status = self.connection.info.transaction_status
        if self.released or status is not TransactionStatus.IDLE:
            with reading(self.workspace) as connection:
                yield connection
            return
        with database_errors():
            yield self.connection

    @contextmanager
    def provider(self) -> Iterator[ApiFootball]:
        """A client of the workspace's provider; starts the sample provider when that is it."""
        settings = self.workspace.settings
        with ExitStack() as stack:
            base_url = settings.base_url
            key = settings.api_key.get_secret_value() if settings.api_key else SAMPLE_KEY
            if self.workspace.target.sample:
                key = SAMPLE_KEY
                base_url = settings.sample_url or stack.enter_context(
                    _sample_provider(self.workspace)
                )
            log = RequestLog(self.connection, self.run_id, settings.requests_per_minute)
            yield stack.enter_context(ApiFootball(base_url, key, settings.http, log))


@contextmanager
def _sample_provider(workspace: Workspace) -> Iterator[str]:
    from oddins_pipeline.sample_provider import SampleProvider

    with SampleProvider(faults=workspace.faults, days=workspace.sample_days or 0) as running:
        logger.info("sample provider started: generated data, not the provider's")
        yield running.url


@contextmanager
def open_session(
    workspace: Workspace, *, run_id: str | None, lock_timeout: float
) -> Iterator[Session]:
    """Connects, takes the lock, checks rights and revision; releases the lock at the end.

    Raises LockHeldError, DatabaseError, SchemaError, SourceMismatchError.
    """
    purpose = f"{PURPOSE} {run_id[:8]}" if run_id else PURPOSE
    with _connect(workspace, purpose, lock_timeout) as connection:
        pool(workspace)
        if workspace.target.sample and not workspace.settings.sample_url:
            workspace = _at_day(workspace, connection)
        session = Session(workspace, connection, run_id)
        session.held.callback(lock.release, connection)
        session.held.enter_context(collector_paused())
        try:
            with database_errors():
                yield session
        finally:
            session.release()


def _at_day(workspace: Workspace, connection: Connection) -> Workspace:
    """The workspace with the day of the sample provider's world, which never goes back.

    Raises UsageError.
    """
    with database_errors():
        address = scalar(connection, _ADDRESS, (workspace.source,)) or ""
    seen = int(address.removeprefix(SAMPLE_ADDRESS)) if address.startswith(SAMPLE_ADDRESS) else 0
    days = seen if workspace.sample_days is None else workspace.sample_days
    if days < seen:
        raise UsageError(
            f"--days {days} would go back: this database has seen day {seen} of the generated"
            f" world; give a greater one, or leave --days out"
        )
    return replace(workspace, sample_days=days)


def _connect(workspace: Workspace, purpose: str, lock_timeout: float) -> Connection:
    """A connection that holds the lock, to a database that a sync can write to. Where nothing is in
    the way, settings, lock and rights are one round trip, revision and source another.
    """
    settings = workspace.settings
    connection, results = connect_and_execute(
        workspace, lambda pid: lock.attempt(settings, pid=pid) + RIGHTS, purpose=purpose
    )
    with ExitStack() as stack, database_errors():
        stack.callback(connection.close)
        row = results.fetchone()
        results.nextset()
        if row and row[0]:
            lock.log_acquired()
            found = load_readiness(connection, results)
        else:
            if row and row[0] is None:
                refuse_transaction_pooler(
                    connection, lambda: connect(workspace, purpose="pooler probe")
                )
            lock.acquire(connection, settings, wait=lock_timeout)
            found = load_readiness(connection)
        found.require(workspace)
        if found.revision != revision.REVISIONS[-1]:
            revision.ensure_current(connection, workspace, holds_lock=True)
            load_readiness(connection).require(workspace)
        stack.pop_all()
    return connection


@contextmanager
def collector_paused() -> Iterator[None]:
    """A response becomes very many objects without a cycle among them, and so does Dagster's graph:
    scanning them for cycles, again and again, would take as long as parsing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def request_account(workspace: Workspace, connection: Connection, *, timeout: float) -> Account:
    """`/status`, which costs no quota: one attempt of `timeout` seconds. Raises ProviderError."""
    settings = workspace.settings
    assert settings.api_key is not None
    log = RequestLog(connection, None, settings.requests_per_minute)
    limits = replace(
        settings.http,
        connect_timeout=timeout,
        read_timeout=timeout,
        attempt_timeout=timeout,
        total_timeout=timeout,
    )
    key = settings.api_key.get_secret_value()
    with ApiFootball(settings.base_url, key, limits, log) as client:
        return client.status()
