"""The floor: the minimal implementation of the same work.

Fetch, parse, archive the compressed bytes, COPY, one joining statement per table, feed rows for
what changed, sync state. No Dagster, no lock, no validation, no guard, no request log, no
digest, no delisting, and slugs for new leagues only. It shares no code with the package.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from pydantic_core import from_json
from slugify import slugify

from benchmarks.responses import COLUMNS, Row, Rows, fetch, plain_rows

_FLAGS = COLUMNS["season_coverage"][2:]
_SEASONS = "FROM staged_seasons s JOIN leagues l USING (provider_league_id)"
_LEAGUES = "FROM staged_leagues s JOIN countries c ON c.name = s.country_name"
_SEASON_OF = "n.league_id = l.id AND n.year = s.year"
_OF_STAGED = ", ".join(f"s.{flag}" for flag in _FLAGS)
_STAGED = f"""
CREATE TEMPORARY TABLE staged_countries (name text, code text, flag_url text) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_leagues (provider_league_id int, country_name text, name text,
    type text, logo_url text, slug text) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_seasons (provider_league_id int, year int, start_date date,
    end_date date, is_current boolean, {", ".join(f"{f} boolean" for f in _FLAGS)}) ON COMMIT DROP;
"""
_TABLES: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], str], ...] = (
    ("countries", "id", ("name",), ("code", "flag_url"), "SELECT * FROM staged_countries"),
    (
        *("leagues", "id", ("provider_league_id", "slug")),
        ("country_id", "name", "type", "logo_url"),
        f"SELECT s.*, c.id AS country_id {_LEAGUES}",
    ),
    (
        *("seasons", "id", ("league_id", "year"), ("start_date", "end_date", "is_current")),
        f"SELECT l.id AS league_id, s.year, s.start_date, s.end_date, s.is_current {_SEASONS}",
    ),
    (
        *("season_coverage", "season_id", ("season_id",), _FLAGS),
        f"SELECT n.id AS season_id, {_OF_STAGED} {_SEASONS}, seasons n WHERE {_SEASON_OF}",
    ),
)


def load(url: str, provider: str) -> float:
    """Seconds from the request to the commit."""
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.perf_counter()
        body = fetch(provider)
        rows = plain_rows(from_json(body)["response"])
        with connection.transaction():
            _publish(connection, body, rows)
        return time.perf_counter() - started


def _publish(connection: psycopg.Connection[Any], body: bytes, rows: Rows) -> None:
    payload = _archive(connection, body, len(rows.leagues))
    connection.execute(_STAGED)
    known = dict(connection.execute("SELECT provider_league_id, slug FROM leagues").fetchall())
    copy_text(connection, "staged_countries", rows.countries)
    copy_text(connection, "staged_leagues", _with_slugs(rows.leagues, known))
    flags = (row[2:] for row in rows.season_coverage)
    copy_text(
        connection, "staged_seasons", (a + b for a, b in zip(rows.seasons, flags, strict=True))
    )
    if len(rows.seasons) > 50_000:
        connection.execute("ANALYZE staged_leagues, staged_seasons")
    for table, identity, keys, values, source in _TABLES:
        _merge(connection, (table, identity, keys, values, source), payload if known else None)
    connection.execute(
        "INSERT INTO provider_sync_state (source_id, entity, last_synced_at, cursor)"
        " SELECT id, 'leagues_seasons', now(), %s FROM provider_sources"
        " ON CONFLICT (source_id, entity) DO UPDATE SET last_synced_at = now()",
        (json.dumps({"payload_id": payload}),),
    )


def _archive(connection: psycopg.Connection[Any], body: bytes, results: int) -> int:
    connection.execute(
        "INSERT INTO provider_sources (name, base_url) SELECT 'floor', ''"
        " WHERE NOT EXISTS (SELECT FROM provider_sources)"
    )
    row = connection.execute(
        "INSERT INTO provider_payloads (source_id, entity, fetched_at, last_seen_at, body, bytes,"
        " sha256, results, published_at) SELECT id, 'leagues_seasons', now(), now(), %s, %s, '',"
        " %s, now() FROM provider_sources RETURNING id",
        (zlib.compress(body, 1), len(body), results),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _with_slugs(leagues: list[Row], known: dict[int, str]) -> Iterator[Row]:
    used = set(known.values())
    for row in leagues:
        slug = known.get(row[0])
        if slug is None:
            slug = slugify(f"{row[1]} {row[2]}")
            if slug in used:
                slug = f"{slug}-{row[0]}"
            used.add(slug)
        yield (*row, slug)


_TEXT = {True: "t", False: "f", None: r"\N"}


def copy_text(connection: psycopg.Connection[Any], table: str, rows: Iterable[Row]) -> None:
    """COPY of lines built here; the sample provider's names need no escapes."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        lines: list[str] = []
        for row in rows:
            lines.append("\t".join([v if v.__class__ is str else _text(v) for v in row]))
            if len(lines) == 2_000:
                copy.write("\n".join(lines) + "\n")
                lines.clear()
        if lines:
            copy.write("\n".join(lines) + "\n")


def _text(value: Any) -> str:
    return str(value) if value.__class__ is int else _TEXT[value]


def _merge(
    connection: psycopg.Connection[Any],
    step: tuple[str, str, tuple[str, ...], tuple[str, ...], str],
    feed: int | None,
) -> None:
    table, identity, keys, values, source = step
    match = " AND ".join(f"t.{key} = s.{key}" for key in keys if key != "slug")
    old, new = (", ".join(f"{side}.{value}" for value in values) for side in "ts")
    columns = ", ".join((*keys, *values))
    feeding = f"""INSERT INTO catalog_changes (payload_id, entity, row_id, change, before, after)
        SELECT {feed}, '{table}', row_id, CASE WHEN before IS NULL THEN 'added' ELSE 'changed' END,
               before, after FROM (SELECT * FROM ins UNION ALL SELECT * FROM upd) f"""  # noqa: S608
    connection.execute(
        f"""WITH diff AS MATERIALIZED (
            SELECT s.*, t.{identity} AS row_id, to_jsonb(t) AS before
            FROM ({source}) s LEFT JOIN {table} t ON {match}
            WHERE t.{identity} IS NULL OR ({old}) IS DISTINCT FROM ({new})),
        ins AS (INSERT INTO {table} AS t ({columns}) SELECT {columns} FROM diff WHERE row_id IS NULL
            RETURNING t.{identity} AS row_id, NULL::jsonb AS before,
                {"to_jsonb(t)" if feed else "NULL::jsonb"} AS after),
        upd AS (UPDATE {table} t SET {", ".join(f"{v} = d.{v}" for v in values)}, updated_at = now()
            FROM diff d WHERE t.{identity} = d.row_id
            RETURNING t.{identity} AS row_id, d.before, to_jsonb(t) AS after)
        {feeding if feed else "SELECT count(*) FROM ins"}""".encode()  # noqa: S608
    )
