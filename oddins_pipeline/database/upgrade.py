"""Runs Alembic's migrations from inside the package."""

from __future__ import annotations

import logging

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.pool import NullPool

from oddins_pipeline.database.revision import MIGRATIONS
from oddins_pipeline.errors import DatabaseError
from oddins_pipeline.logs import sanitize

logger = logging.getLogger(__name__)

_UPGRADE_LOCK = 7_263_548_190_112_233


def sqlalchemy_url(url: str) -> sqlalchemy.URL:
    """The same address, always by psycopg 3."""
    return sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")


def upgrade(url: str) -> None:
    """Brings the database to the newest revision, in one transaction; two at once take turns.

    Raises DatabaseError.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = sqlalchemy.create_engine(sqlalchemy_url(url), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(
                sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK}
            )
            connection.execute(sqlalchemy.text("SET LOCAL search_path TO public"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise DatabaseError(
            f"the schema could not be upgraded: {sanitize(str(getattr(error, 'orig', error)), 400)}"
        ) from None
    logger.info("database schema upgraded")
