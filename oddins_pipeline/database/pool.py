"""Pooled connections for reads: row counts, `load_input`, checks, sensors, status and the feed.

They cannot write: what writes is the run's one dedicated connection, which holds the lock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg.pq import TransactionStatus

from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.connection import Connection, connect, database_errors
from oddins_pipeline.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy import Engine

logger = logging.getLogger(__name__)

_pools: dict[Workspace, Engine] = {}


@contextmanager
def reading(workspace: Workspace) -> Iterator[Connection]:
    """A read-only connection in autocommit mode, returned to the pool at the end.

    Raises DatabaseError, also when none is free within ODDINS_POOL_TIMEOUT.
    """
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    try:
        with database_errors():
            pooled = pool(workspace).raw_connection()
    except PoolTimeoutError:
        raise DatabaseError(
            f"no connection for reading was free within {workspace.settings.pool.timeout:g} s;"
            " raise ODDINS_POOL_SIZE or ODDINS_POOL_OVERFLOW"
        ) from None
    connection = pooled.driver_connection
    assert connection is not None
    try:
        with database_errors():
            yield connection
    finally:
        if connection.info.transaction_status is TransactionStatus.ACTIVE:
            pooled.invalidate()  # interrupted in a statement: of no more use
        pooled.close()


def reader(workspace: Workspace) -> Connection:
    """A read-only connection without a pool, for a process that reads once."""
    return connect(workspace, purpose="read", read_only=True)


def pool(workspace: Workspace) -> Engine:
    """The process's pool for the workspace; no connection is opened before the first read."""
    known = _pools.get(workspace)
    if known is not None:
        return known
    # Here and not above: what reads once, or meets a held lock, is done before this is imported.
    from sqlalchemy import create_engine

    limits = workspace.settings.pool
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: reader(workspace),
        pool_size=limits.size,
        max_overflow=limits.overflow,
        pool_timeout=limits.timeout,
        pool_pre_ping=True,
        pool_use_lifo=True,
    )
    metrics = {"pool_size": limits.size, "pool_overflow": limits.overflow}
    logger.info("PostgreSQL pool initialized", extra=metrics)
    return _pools.setdefault(workspace, engine)
