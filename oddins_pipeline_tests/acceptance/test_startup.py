"""What each command imports: `dagster` costs more than all that a short command does."""

from __future__ import annotations

import re

import psycopg
import pytest

from oddins_pipeline.database.lock import lock_id
from oddins_pipeline_tests.support.service import Oddins, Outcome, Service

HEAVY = {"dagster", "alembic", "sqlalchemy", "grpc", "httpx", "pydantic", "psycopg"}
PROFILED = {"PYTHONPROFILEIMPORTTIME": "1"}


def imported(done: Outcome) -> set[str]:
    """The heavy packages among those that the command imported, by its own account."""
    names = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "click" in names
    return names & HEAVY


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_nothing_but_click(oddins: Oddins, arguments: tuple[str, ...]) -> None:
    done = oddins(*arguments, **PROFILED)
    assert done.code == 0
    assert imported(done) == set()


def test_status_imports_what_reads_the_settings_and_the_database(service: Service) -> None:
    assert service.sync().code == 0
    done = service.run("status", "--sample", **service.environment(), **PROFILED)
    assert done.code == 0
    assert imported(done) == {"pydantic", "psycopg"}


def test_a_held_lock_is_reported_before_dagster_is_imported(service: Service) -> None:
    with psycopg.connect(service.database) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (lock_id(),))
        done = service.sync(**PROFILED)
    assert done.code == 75
    assert imported(done).isdisjoint({"dagster", "alembic", "sqlalchemy", "grpc"})


def test_the_revision_is_checked_without_alembic(service: Service) -> None:
    # Dagster's own storage imports Alembic; a dry run needs no Dagster.
    done = service.sync("--dry-run", **PROFILED)
    assert done.code == 0, done.stderr
    assert imported(done).isdisjoint({"dagster", "alembic", "grpc"})


def test_usage_errors_are_reported_before_the_database_driver_is_used(oddins: Oddins) -> None:
    done = oddins("sync", "leagues", APP_ENV="nonsense", **PROFILED)
    assert done.code == 2
    assert imported(done).isdisjoint({"dagster", "alembic", "sqlalchemy"})
