"""Which revision the database has, read without Alembic: its import takes as long as a sync."""

from __future__ import annotations

from pathlib import Path

import psycopg

from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.connection import Connection, database_errors, scalar
from oddins_pipeline.errors import SchemaError

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = tuple(sorted(path.name[:4] for path in MIGRATIONS.glob("versions/[0-9]*.py")))
"""Every revision this code knows, oldest first."""

VERSION_TABLE = "oddins_alembic_version"
_CURRENT = f"SELECT version_num FROM public.{VERSION_TABLE}"  # noqa: S608 - a constant


def current_revision(connection: Connection) -> str | None:
    """The database's revision; None when it was never upgraded."""
    with database_errors():
        try:
            found: str | None = scalar(connection, _CURRENT)
        except psycopg.errors.UndefinedTable:
            return None
    return found


def is_current(connection: Connection) -> bool:
    """Whether the database fits this code. Raises SchemaError when it is newer."""
    found = current_revision(connection)
    if found is not None and found not in REVISIONS:
        raise SchemaError(
            f"the database is at revision {found}, which is newer than this software"
            f" ({REVISIONS[-1]}); update the software"
        )
    return found == REVISIONS[-1]


def require_current(connection: Connection) -> None:
    """Raises SchemaError when a reader would find no catalog, or another one than it expects."""
    if is_current(connection):
        return
    if current_revision(connection) is None:
        raise SchemaError("the database has no catalog yet; run `oddins sync leagues`")
    raise _outdated(connection)


def _outdated(connection: Connection) -> SchemaError:
    return SchemaError(
        f"the database is at revision {current_revision(connection) or 'none'}, this software"
        f" needs {REVISIONS[-1]}; run `oddins db upgrade`"
    )


def ensure_current(
    connection: Connection,
    workspace: Workspace,
    *,
    upgrade_itself: bool | None = None,
    wait: float | None = None,
    holds_lock: bool = False,
) -> None:
    """Upgrades when it may, by default with APP_ENV=local only. For that it takes the lock of the
    syncs, unless the connection `holds_lock`: it waits `wait` seconds, by default
    ODDINS_LOCK_TIMEOUT.

    Raises SchemaError with the command to run otherwise, LockHeldError.
    """
    if upgrade_itself is None:
        upgrade_itself = workspace.upgrades_itself
    if is_current(connection):
        return
    if not upgrade_itself:
        raise _outdated(connection)
    from oddins_pipeline.database.upgrade import upgrade, upgrade_in_turn

    if holds_lock:
        upgrade(connection)
        return
    wait = workspace.settings.lock_timeout if wait is None else wait
    upgrade_in_turn(connection, workspace, wait=wait)
