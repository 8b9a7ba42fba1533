"""Compares the live tables with `schema`; Alembic does the work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.pool import StaticPool

from oddins_pipeline import schema
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.logs import sanitize


def differences(connection: Connection) -> list[str]:
    """What differs from `schema` in our tables, in a few words each; nothing else is looked at."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool
    )
    names = frozenset(schema.metadata.tables)

    def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "table" or name in names

    with engine.connect() as borrowed:
        context = MigrationContext.configure(borrowed, opts={"include_name": is_ours})
        found = list(_described(compare_metadata(context, schema.metadata)))
        borrowed.rollback()
    return found


def _described(found: list[Any]) -> Iterator[str]:
    for item in found:
        if isinstance(item, list):
            yield from _described(item)
        else:
            action, *what = item
            names = [str(getattr(part, "name", part)) for part in what if part is not None]
            yield sanitize(f"{action} {' '.join(names[:4])}", 120)
