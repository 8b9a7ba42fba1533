"""Runs Alembic's migrations from inside the package."""

from __future__ import annotations

import logging

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.pool import StaticPool

from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import lock
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.revision import MIGRATIONS, is_current
from oddins_pipeline.errors import DatabaseError
from oddins_pipeline.logs import sanitize

logger = logging.getLogger(__name__)


def upgrade_in_turn(connection: Connection, workspace: Workspace, *, wait: float) -> None:
    """Takes the lock, so that no sync and no other upgrade is in progress, and upgrades what is not
    current by then.

    Raises LockHeldError after `wait` seconds, DatabaseError.
    """
    lock.acquire(connection, workspace.settings, wait=wait)
    try:
        if not is_current(connection):
            upgrade(connection)
    finally:
        lock.release(connection)


def upgrade(connection: Connection) -> None:
    """Brings the database to the newest revision, in one transaction on the connection, which holds
    the lock. Raises DatabaseError.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool
    )
    connection.autocommit = False
    try:
        with engine.begin() as borrowed:
            config.attributes["connection"] = borrowed
            command.upgrade(config, "head")
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise DatabaseError(
            f"the schema could not be upgraded: {sanitize(str(getattr(error, 'orig', error)), 400)}"
        ) from None
    finally:
        if not connection.closed:
            connection.autocommit = True
    logger.info("database schema upgraded")
