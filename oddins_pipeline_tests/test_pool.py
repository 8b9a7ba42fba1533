"""The pool for reads."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest

from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.pool import reading
from oddins_pipeline.errors import DatabaseError


def settings_of(**changes: object) -> Settings:
    return Settings(_env_file=None, **changes)  # type: ignore[arg-type]


def test_a_connection_is_used_again_and_lives_on_in_the_pool(database: str) -> None:
    settings = settings_of()
    pids = set()
    for _ in range(3):
        with reading(settings, database) as connection:
            pids.add(connection.info.backend_pid)
    assert len(pids) == 1


def test_a_full_pool_says_which_variable_to_raise(database: str) -> None:
    settings = settings_of(pool_size=1, pool_overflow=1, pool_timeout=0.2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(reading(settings, database))
        with pytest.raises(DatabaseError, match="ODDINS_POOL_SIZE"):
            stack.enter_context(reading(settings, database))


def test_a_read_cannot_write(database: str) -> None:
    with (
        pytest.raises(DatabaseError, match="read-only"),
        reading(settings_of(), database) as connection,
    ):
        connection.execute("DELETE FROM countries")


def test_a_connection_that_the_server_cut_is_replaced(database: str) -> None:
    settings = settings_of()
    with reading(settings, database) as connection:
        pid = connection.info.backend_pid
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with reading(settings, database) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
