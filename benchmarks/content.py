"""The content of the four tables, as counts and order-independent hashes."""

from __future__ import annotations

from typing import Any

import psycopg

from benchmarks.responses import COLUMNS

Content = dict[str, list[str]]
"""Table → [count, sum of 64-bit hashes of its rows]."""

_FLAGS = ", ".join(f"v.{flag}" for flag in COLUMNS["season_coverage"][2:])
_CATALOG = {
    "countries": "SELECT name, code, flag_url FROM countries",
    "leagues": "SELECT l.provider_league_id::bigint, c.name AS country_name, l.name, l.type,"
    " l.logo_url FROM leagues l JOIN countries c ON c.id = l.country_id",
    "seasons": "SELECT l.provider_league_id::bigint, s.year::bigint, s.start_date, s.end_date,"
    " s.is_current FROM seasons s JOIN leagues l ON l.id = s.league_id",
    "season_coverage": f"SELECT l.provider_league_id::bigint, s.year::bigint, {_FLAGS}"  # noqa: S608 - our own names
    " FROM season_coverage v JOIN seasons s ON s.id = v.season_id"
    " JOIN leagues l ON l.id = s.league_id",
}


def catalog_content(connection: psycopg.Connection[Any]) -> Content:
    """Content of the catalog's tables, joined to natural keys."""
    return {table: _hashed(connection, query) for table, query in _CATALOG.items()}


def natural_content(connection: psycopg.Connection[Any], schema: str) -> Content:
    """Content of tables in `schema` that hold natural keys themselves."""
    return {
        table: _hashed(connection, f"SELECT {_texts(columns)} FROM {schema}.{table}")  # noqa: S608 - our own names
        for table, columns in COLUMNS.items()
    }


def _texts(columns: tuple[str, ...]) -> str:
    return ", ".join(f"{c}::date" if c.endswith("_date") else c for c in columns)


def _hashed(connection: psycopg.Connection[Any], query: str) -> list[str]:
    row = connection.execute(
        "SELECT count(*)::text, coalesce(sum(hashtextextended(r::text, 0)), 0)::text"  # noqa: S608 - our own names
        f" FROM ({query}) AS r".encode()
    ).fetchone()
    assert row is not None
    return [str(value) for value in row]
