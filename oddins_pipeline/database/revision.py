"""Which revision the database has, told without Alembic: its import costs what a sync does."""

from __future__ import annotations

import psycopg

from oddins_pipeline.database.connection import Connection, database_errors
from oddins_pipeline.errors import SchemaError

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision this code knows, oldest first; a test holds it against the scripts."""

VERSION_TABLE = "oddins_alembic_version"


def current_revision(connection: Connection) -> str | None:
    """The database's revision; None when it was never upgraded."""
    with database_errors():
        try:
            row = connection.execute(f"SELECT version_num FROM public.{VERSION_TABLE}").fetchone()  # noqa: S608
        except psycopg.errors.UndefinedTable:
            return None
    return str(row[0]) if row else None


def is_current(connection: Connection) -> bool:
    """Whether the database fits this code. Raises SchemaError when it is newer."""
    found = current_revision(connection)
    if found is not None and found not in REVISIONS:
        raise SchemaError(
            f"the database is at revision {found}, which is newer than this software"
            f" ({REVISIONS[-1]}); update the software"
        )
    return found == REVISIONS[-1]


def ensure_current(connection: Connection, *, url: str, upgrade_itself: bool) -> None:
    """Upgrades when it may (`APP_ENV=local`). Raises SchemaError saying what to run otherwise."""
    if is_current(connection):
        return
    if not upgrade_itself:
        raise SchemaError(
            f"the database is at revision {current_revision(connection) or 'none'}, this software"
            f" needs {REVISIONS[-1]}; run `oddins db upgrade`"
        )
    from oddins_pipeline.database.upgrade import upgrade

    upgrade(url)
