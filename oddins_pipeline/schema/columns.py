"""The columns of the tables: one function per kind of column, and what can be asked of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

NOT_COMPARED = frozenset({"id", "delisted_at", "created_at", "updated_at"})
"""Columns that no response says anything about: not merged, and not in the feed's rows."""

NOW, CLOCK, EMPTY = text("now()"), text("clock_timestamp()"), text("'{}'")


def column(name: str, kind: Any, doc: str, *fields: str, **options: Any) -> Column[Any]:
    """A column that comes from `fields` of the response; not null unless it says so."""
    options.setdefault("nullable", False)
    return Column(name, kind, doc=doc, info={"fields": fields}, **options)


def optional(name: str, kind: Any, doc: str, *fields: str) -> Column[Any]:
    """A column that may be null."""
    return column(name, kind, doc, *fields, nullable=True)


def reference(name: str, target: Any, doc: str, *fields: str, **options: Any) -> Column[Any]:
    """A reference to the primary key of another table; not null."""
    key, info = ForeignKey(target), {"fields": fields}
    return Column(name, BigInteger, key, nullable=False, doc=doc, info=info, **options)


def identity() -> Column[Any]:
    """The primary key `id`."""
    always = Identity(always=True)
    return Column("id", BigInteger, always, primary_key=True, doc="identity", info={"fields": ()})


def define(name: str, doc: str, *items: Any) -> Table:
    """A table of the metadata."""
    return Table(name, metadata, *items, info={"doc": doc})


def timestamp(name: str, doc: str, default: Any = None) -> Column[Any]:
    """With time zone; nullable when it has no default."""
    kind = DateTime(timezone=True)
    return column(name, kind, doc, nullable=default is None, server_default=default)


def row_timestamps(*, delisted: bool = True) -> tuple[Column[Any], ...]:
    """What every row of the catalog carries about itself."""
    listed = timestamp(
        "delisted_at", "since when full responses no longer list it; null while listed"
    )
    return (
        *([listed] if delisted else []),
        timestamp("created_at", "when the row was inserted", NOW),
        timestamp("updated_at", "when a value that a reader sees last changed", NOW),
    )


def merged_columns(table: Table) -> tuple[str, ...]:
    """The columns that a response fills, in the table's order."""
    return tuple(column.name for column in table.columns if column.name not in NOT_COMPARED)


def unique_columns(table: Table) -> frozenset[str]:
    """The columns that are unique by themselves."""
    keys = [c for c in table.constraints if isinstance(c, UniqueConstraint)] + [table.primary_key]
    return frozenset(key.columns.keys()[0] for key in keys if len(key.columns) == 1)
