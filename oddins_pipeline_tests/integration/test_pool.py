"""The pool for reads."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest

from oddins_pipeline.config.settings import PoolLimits, Settings
from oddins_pipeline.config.workspace import Target, Workspace
from oddins_pipeline.database.connection import database_errors
from oddins_pipeline.database.pool import reading
from oddins_pipeline.errors import DatabaseError


def workspace_of(url: str, **limits: float) -> Workspace:
    settings = Settings(_env_file=None, pool=PoolLimits(**limits))  # type: ignore[arg-type]
    return Workspace(settings, Target(sample=False, embedded=None), url)


def test_a_connection_is_used_again_and_lives_on_in_the_pool(database: str) -> None:
    workspace = workspace_of(database)
    pids = set()
    for _ in range(3):
        with reading(workspace) as connection:
            pids.add(connection.info.backend_pid)
    assert len(pids) == 1


def test_a_full_pool_says_which_variable_to_raise(database: str) -> None:
    workspace = workspace_of(database, size=1, overflow=1, timeout=0.2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(reading(workspace))
        with pytest.raises(DatabaseError, match="ODDINS_POOL_SIZE"):
            stack.enter_context(reading(workspace))


def test_a_read_cannot_write(database: str) -> None:
    with (
        pytest.raises(DatabaseError, match="read-only"),
        reading(workspace_of(database)) as connection,
    ):
        connection.execute("DELETE FROM countries")


def test_a_connection_that_the_server_cut_is_replaced(database: str) -> None:
    workspace = workspace_of(database)
    with reading(workspace) as connection:
        pid = connection.info.backend_pid
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with reading(workspace) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("kind", "fix"),
    [
        (psycopg.errors.DiskFull, "free space on the server's disk"),
        (psycopg.errors.OutOfMemory, "more memory"),
        (psycopg.errors.ConfigurationLimitExceeded, "raise the setting"),
        (psycopg.errors.ProgramLimitExceeded, "retrying does not help"),
    ],
)
def test_a_limit_of_the_server_is_named_with_its_fix(kind: type[psycopg.Error], fix: str) -> None:
    with pytest.raises(DatabaseError, match=f"the database refused: .*{fix}"), database_errors():
        raise kind("a limit was reached")
