"""Runs Alembic's migrations from inside the package."""

from __future__ import annotations

import logging

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.pool import StaticPool

from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.revision import MIGRATIONS
from oddins_pipeline.errors import DatabaseError
from oddins_pipeline.logs import sanitize

logger = logging.getLogger(__name__)

_UPGRADE_LOCK = 7_263_548_190_112_233


def upgrade(connection: Connection) -> None:
    """Brings the database to the newest revision, in one transaction on the connection; two at once
    take turns.

    Raises DatabaseError.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool
    )
    connection.autocommit = False
    try:
        with engine.begin() as borrowed:
            borrowed.execute(
                sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK}
            )
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
