"""COPY of rows into temporary tables, whose columns have the types of the tables they become."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from oddins_pipeline.catalog.rows import SeasonRow
from oddins_pipeline.database.connection import Connection

if TYPE_CHECKING:
    from sqlalchemy import Table

ANALYZE_FROM = 50_000
"""Rows from which the planner needs statistics of the temporary tables."""


def temporary_table(name: str, columns: Iterable[str], *tables: Table) -> str:
    """The DDL of a temporary table; a column that none of `tables` has is text."""
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = {c.name: c.type.compile(dialect) for table in tables for c in table.columns}
    listed = ", ".join(f"{column} {types.get(column, 'text')}" for column in columns)
    return f"CREATE TEMPORARY TABLE {name} ({listed}) ON COMMIT DROP"


def copy_rows(
    connection: Connection,
    table: str,
    columns: Iterable[str],
    rows: Iterable[tuple[object, ...]],
) -> None:
    """COPY of `rows`, in the order of `columns`, into a temporary table."""
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


_FIELD: dict[object, str] = {True: "t", False: "f", None: r"\N"}
_NULL = r"\N"
_LINES = 1_000
"""Sent together: about 60 KB."""


def copy_seasons(connection: Connection, table: str, seasons: list[SeasonRow]) -> None:
    """COPY of the many rows: numbers, dates and flags need no escapes, and a dictionary writes the
    flags of a season faster than an adapter each.
    """
    statement = f"COPY {table} ({', '.join(SeasonRow._fields)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for start in range(0, len(seasons), _LINES):
            copy.write("".join(map(_line, seasons[start : start + _LINES])))


def _line(row: SeasonRow) -> str:
    league, year, start, end = row[:4]
    return f"{league}\t{year}\t{start or _NULL}\t{end or _NULL}\t{_flags(row[4:])}\n"


@lru_cache(maxsize=65_536)
def _flags(flags: tuple[bool | None, ...]) -> str:
    return "\t".join([_FIELD[flag] for flag in flags])
