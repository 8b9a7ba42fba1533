"""Peers that send every row to `INSERT … ON CONFLICT DO UPDATE`: one by one, and in batches."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from pydantic_core import from_json
from slugify import slugify

from benchmarks.responses import COLUMNS, Row, fetch, plain_rows

Connection = psycopg.Connection[Any]

_LEAGUE = "(SELECT id FROM leagues WHERE provider_league_id = %s)"
_SEASON = (
    "(SELECT s.id FROM seasons s JOIN leagues l ON l.id = s.league_id"
    " WHERE l.provider_league_id = %s AND s.year = %s)"
)
_FLAGS = COLUMNS["season_coverage"][2:]


def _upsert(table: str, columns: tuple[str, ...], values: str, key: tuple[str, ...]) -> str:
    changes = ", ".join(f"{c} = EXCLUDED.{c}" for c in columns if c not in {*key, "slug"})
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - our own names
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}, updated_at = now()"
    )


STATEMENTS = {
    "countries": _upsert("countries", COLUMNS["countries"], "%s, %s, %s", ("name",)),
    "leagues": _upsert(
        "leagues",
        ("provider_league_id", "country_id", "name", "type", "logo_url", "slug"),
        "%s, (SELECT id FROM countries WHERE name = %s), %s, %s, %s, %s",
        ("provider_league_id",),
    ),
    "seasons": _upsert(
        "seasons",
        ("league_id", "year", "start_date", "end_date", "is_current"),
        f"{_LEAGUE}, %s, %s, %s, %s",
        ("league_id", "year"),
    ),
    "season_coverage": _upsert(
        "season_coverage",
        ("season_id", *_FLAGS),
        f"{_SEASON}, {', '.join(['%s'] * len(_FLAGS))}",
        ("season_id",),
    ),
}


def load_row_by_row(url: str, provider: str) -> float:
    """Seconds from the request to the commit, one statement and one round trip a row."""
    return _load(url, provider, batched=False)


def load_executemany(url: str, provider: str) -> float:
    """The same by psycopg's `executemany`, which pipelines."""
    return _load(url, provider, batched=True)


def _load(url: str, provider: str, *, batched: bool) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.perf_counter()
        rows = plain_rows(from_json(fetch(provider))["response"])
        with connection.transaction(), connection.cursor() as cursor:
            for table, statement in STATEMENTS.items():
                values: list[Row] = getattr(rows, table)
                if table == "leagues":
                    values = [(*row, slugify(f"{row[1]} {row[2]} {row[0]}")) for row in values]
                if batched:
                    cursor.executemany(statement.encode(), values)
                    continue
                for row in values:
                    cursor.execute(statement.encode(), row)
        return time.perf_counter() - started
