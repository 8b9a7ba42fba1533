"""COPY of a batch into temporary tables, and how each becomes its table."""

# ruff: noqa: S608 - identifiers come from the definitions below

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from oddins_pipeline.catalog.rows import Batch, CountryRow, LeagueRow, SeasonRow
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.merge import Merge

COVERAGE = SeasonRow._fields[5:]

_TABLES = f"""
CREATE TEMPORARY TABLE staged_countries (
    name text, code text, flag_url text, stored_name text) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_leagues (
    provider_league_id integer, country_name text, name text, type text, logo_url text,
    slug text) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_seasons (
    provider_league_id integer, year integer, start_date date, end_date date,
    is_current boolean, {", ".join(f"{flag} boolean" for flag in COVERAGE)}) ON COMMIT DROP;
CREATE TEMPORARY TABLE kept_seasons (
    provider_league_id integer, year integer) ON COMMIT DROP;
"""

LARGE = 50_000
"""Rows from which the planner needs statistics of the temporary tables."""


def stage(
    connection: Connection, batch: Batch, *, renames: dict[str, str], slugs: dict[int, str]
) -> None:
    """Copies the batch; `renames` maps a country's new name to its stored one, `slugs` a new
    league's id to its slug.
    """
    connection.execute(_TABLES)
    copy_rows(
        connection,
        "staged_countries",
        (*CountryRow._fields, "stored_name"),
        ((*row, renames.get(row.name, row.name)) for row in batch.countries),
    )
    copy_rows(
        connection,
        "staged_leagues",
        (*LeagueRow._fields, "slug"),
        ((*row, slugs.get(row.provider_league_id)) for row in batch.leagues),
    )
    _copy_seasons(connection, batch.seasons)
    kept: list[tuple[int, int | None]] = [*sorted(batch.quarantined_seasons)]
    kept += [(league, None) for league in sorted(batch.quarantined_leagues)]
    if kept:
        copy_rows(connection, "kept_seasons", ("provider_league_id", "year"), kept)
    if len(batch.seasons) > LARGE:
        connection.execute(
            "ANALYZE staged_leagues (provider_league_id), staged_seasons (provider_league_id, year)"
        )


def copy_rows(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Iterable[tuple[object, ...]],
) -> None:
    """COPY of `rows`, in the order of `columns`, into a temporary table."""
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


_FIELD: dict[object, str] = {True: "t", False: "f", None: r"\N"}
LINES = 1_000
"""Sent at once: about 60 KB."""


def _copy_seasons(connection: Connection, seasons: list[SeasonRow]) -> None:
    """COPY of the many rows: numbers, dates and flags need no escapes, and a dictionary writes the
    flags of a season faster than an adapter each.
    """
    statement = f"COPY staged_seasons ({', '.join(SeasonRow._fields)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for start in range(0, len(seasons), LINES):
            copy.write("".join(map(_line, seasons[start : start + LINES])))


def _line(row: SeasonRow) -> str:
    league, year, start, end = row[:4]
    return f"{league}\t{year}\t{start or _NULL}\t{end or _NULL}\t{_flags(row[4:])}\n"


_NULL = r"\N"


@lru_cache(maxsize=65_536)
def _flags(flags: tuple[bool | None, ...]) -> str:
    return "\t".join([_FIELD[flag] for flag in flags])


_SEASON_OF = "FROM staged_seasons s JOIN leagues l USING (provider_league_id)"

COUNTRIES = Merge(
    table="countries",
    source="SELECT name, code, flag_url, stored_name FROM staged_countries",
    match="t.name = s.stored_name",
    columns=("name", "code", "flag_url"),
    natural_key="r ->> 'name'",
    order="name",
    missing="NOT EXISTS (SELECT FROM leagues l WHERE l.country_id = t.id AND l.delisted_at IS NULL)"
    " AND NOT EXISTS (SELECT FROM staged_countries s WHERE s.name = t.name)",
)

LEAGUES = Merge(
    table="leagues",
    source="SELECT c.id AS country_id, s.provider_league_id, s.name, s.type, s.slug, s.logo_url"
    " FROM staged_leagues s JOIN countries c ON c.name = s.country_name",
    match="t.provider_league_id = s.provider_league_id",
    columns=("country_id", "provider_league_id", "name", "type", "slug", "logo_url"),
    key_columns=("provider_league_id",),
    insert_only=("slug",),
    natural_key="r ->> 'provider_league_id'",
    order="provider_league_id",
    missing="NOT EXISTS (SELECT FROM staged_leagues s"
    " WHERE s.provider_league_id = t.provider_league_id)"
    " AND NOT EXISTS (SELECT FROM kept_seasons k"
    " WHERE k.provider_league_id = t.provider_league_id)",
)

_YEAR_KEY = (
    "(SELECT l.provider_league_id FROM leagues l WHERE l.id = ({0} ->> 'league_id')::bigint)"
    " || '/' || ({0} ->> 'year')"
)

SEASONS = Merge(
    table="seasons",
    source=f"SELECT l.id AS league_id, s.year, s.start_date, s.end_date, s.is_current {_SEASON_OF}",
    match="t.league_id = s.league_id AND t.year = s.year",
    columns=("league_id", "year", "start_date", "end_date", "is_current"),
    key_columns=("league_id", "year"),
    natural_key=_YEAR_KEY.format("r"),
    order="league_id, year",
    missing=f"NOT EXISTS (SELECT {_SEASON_OF} WHERE l.id = t.league_id AND s.year = t.year)"
    " AND NOT EXISTS (SELECT FROM kept_seasons k JOIN leagues l USING (provider_league_id)"
    " WHERE l.id = t.league_id AND coalesce(k.year, t.year) = t.year)",
)

SEASON_COVERAGE = Merge(
    table="season_coverage",
    source=f"SELECT n.id AS season_id, {', '.join(f's.{flag}' for flag in COVERAGE)}"
    f" {_SEASON_OF} JOIN seasons n ON n.league_id = l.id AND n.year = s.year",
    match="t.season_id = s.season_id",
    columns=("season_id", *COVERAGE),
    key_columns=("season_id",),
    natural_key="(SELECT l.provider_league_id || '/' || n.year FROM seasons n"
    " JOIN leagues l ON l.id = n.league_id WHERE n.id = row_id)",
    id_column="season_id",
    order="season_id",
)
