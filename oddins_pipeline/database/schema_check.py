"""Compares the live tables with `schema`; Alembic does the work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.pool import StaticPool

from oddins_pipeline import schema
from oddins_pipeline.database.changes import VIEWS
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.logs import sanitize

# The CHECK constraints of tables.
_CHECKS = """
SELECT c.conname FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
WHERE c.contype = 'c' AND r.relnamespace = 'public'::regnamespace AND r.relname = ANY(:names)
"""

# The views among names.
_VIEWS = "SELECT viewname FROM pg_views WHERE schemaname = 'public' AND viewname = ANY(:names)"


def differences(connection: Connection) -> list[str]:
    """What differs from `schema` in our tables, in a few words each; nothing else is looked at."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool
    )
    names = frozenset(schema.metadata.tables)

    def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "table" or name in names

    with engine.connect() as borrowed:
        context = MigrationContext.configure(
            borrowed, opts={"include_name": is_ours, "compare_server_default": True}
        )
        found = list(_described(compare_metadata(context, schema.metadata)))
        found += _of_kind("CHECK constraint", borrowed, _CHECKS, names, _checks())
        found += _of_kind("view", borrowed, _VIEWS, VIEWS, set(VIEWS))
        borrowed.rollback()
    return found


def _checks() -> set[str]:
    return {
        str(constraint.name)
        for table in schema.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sqlalchemy.CheckConstraint)
    }


def _of_kind(
    kind: str, connection: sqlalchemy.Connection, query: str, names: Any, expected: set[str]
) -> list[str]:
    """What Alembic does not compare: names that are missing or were added."""
    found = set(connection.scalars(sqlalchemy.text(query), {"names": list(names)}))
    missing = [f"missing {kind} {name}" for name in sorted(expected - found)]
    return missing + [f"unknown {kind} {name}" for name in sorted(found - expected)]


def _described(found: list[Any]) -> Iterator[str]:
    for item in found:
        if isinstance(item, list):
            yield from _described(item)
        else:
            action, *what = item
            names = [str(getattr(part, "name", part)) for part in what if part is not None]
            yield sanitize(f"{action} {' '.join(names[:4])}", 120)
