"""Countries, leagues, seasons and coverage: how a batch becomes rows of the four tables."""

# ruff: noqa: S608 - identifiers come from the table definitions

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from psycopg.rows import TupleRow

from oddins_pipeline.catalog.renames import StoredCountry, renames
from oddins_pipeline.catalog.renumberings import StoredSeason, StoredYears
from oddins_pipeline.catalog.rows import Batch, CountryRow, LeagueRow, SeasonRow
from oddins_pipeline.catalog.slugs import assign_slugs, base_slug
from oddins_pipeline.database.connection import Connection, execute_batch
from oddins_pipeline.database.merge import (
    Merge,
    TableCounts,
    delist_all,
    merge_all,
)
from oddins_pipeline.database.staging import (
    ANALYZE_FROM,
    copy_rows,
    copy_seasons,
    temporary_table,
)

# The listed leagues, each with the years of its listed seasons.
_STORED_YEARS = """
SELECT l.provider_league_id,
    coalesce(array_agg(s.year) FILTER (WHERE s.id IS NOT NULL AND s.delisted_at IS NULL), '{}')
FROM leagues l LEFT JOIN seasons s ON s.league_id = l.id
WHERE l.delisted_at IS NULL GROUP BY l.id
"""

# Every country with its code and the provider ids of its leagues.
_STORED_COUNTRIES = """
SELECT n.name, n.code,
    coalesce(array_agg(l.provider_league_id) FILTER (WHERE l.id IS NOT NULL), '{}')
FROM countries n LEFT JOIN leagues l ON l.country_id = n.id
GROUP BY n.id
"""

_KNOWN_LEAGUES = "SELECT provider_league_id FROM leagues"

# The most that the staging tables may take before they go to disk: today's response needs a tenth.
# A pooled session that has used temporary tables keeps what it has.
_TEMP_BUFFERS = "SELECT set_config('temp_buffers', '64MB', false) WHERE pg_my_temp_schema() = 0"

# Every season of these leagues.
_STORED_SEASONS = """
SELECT l.provider_league_id, s.year, s.start_date::text, s.end_date::text
FROM seasons s JOIN leagues l ON l.id = s.league_id WHERE l.provider_league_id = ANY(%s)
"""

_SEASON_OF = "FROM staged_seasons s JOIN leagues l USING (provider_league_id)"


@lru_cache
def _staged() -> str:
    """The DDL of the temporary tables."""
    from oddins_pipeline.schema import countries, leagues, season_coverage, seasons

    tables = {
        "staged_countries": ((*CountryRow._fields, "stored_name"), (countries,)),
        "staged_leagues": ((*LeagueRow._fields, "slug"), (leagues,)),
        "staged_seasons": (SeasonRow._fields, (leagues, seasons, season_coverage)),
        "kept_seasons": (("provider_league_id", "year"), (leagues, seasons)),
        "renumbered_seasons": (("provider_league_id", "year", "stored_year"), (leagues, seasons)),
    }
    return ";".join(temporary_table(name, fields, *of) for name, (fields, of) in tables.items())


@lru_cache
def _merges() -> tuple[Merge, Merge, Merge, Merge]:
    """How the staged rows become the tables', parents first."""
    from oddins_pipeline.schema import countries, leagues, season_coverage, seasons
    from oddins_pipeline.schema.columns import merged_columns

    return (
        _countries(merged_columns(countries)),
        _leagues(merged_columns(leagues)),
        _seasons(merged_columns(seasons)),
        _coverage(merged_columns(season_coverage)),
    )


def _countries(columns: tuple[str, ...]) -> Merge:
    return Merge(
        table="countries",
        source="SELECT * FROM staged_countries",
        match="t.name = s.stored_name",
        columns=columns,
        natural_key="r ->> 'name'",
        order="name",
        missing="NOT EXISTS (SELECT FROM leagues l"
        " WHERE l.country_id = t.id AND l.delisted_at IS NULL)"
        " AND NOT EXISTS (SELECT FROM staged_countries s WHERE s.name = t.name)",
    )


def _leagues(columns: tuple[str, ...]) -> Merge:
    return Merge(
        table="leagues",
        source="SELECT s.*, c.id AS country_id"
        " FROM staged_leagues s JOIN countries c ON c.name = s.country_name",
        match="t.provider_league_id = s.provider_league_id",
        columns=columns,
        key_columns=("provider_league_id",),
        insert_only=("slug",),
        natural_key="r ->> 'provider_league_id'",
        order="provider_league_id",
        missing="NOT EXISTS (SELECT FROM staged_leagues s"
        " WHERE s.provider_league_id = t.provider_league_id)"
        " AND NOT EXISTS (SELECT FROM kept_seasons k"
        " WHERE k.provider_league_id = t.provider_league_id)",
    )


def _seasons(columns: tuple[str, ...]) -> Merge:
    return Merge(
        table="seasons",
        source=f"SELECT l.id AS league_id, {_of_staged(columns[1:])} {_SEASON_OF}",
        match="t.league_id = s.league_id AND t.year = s.year",
        columns=columns,
        key_columns=("league_id", "year"),
        natural_key="(SELECT l.provider_league_id FROM leagues l"
        " WHERE l.id = (r ->> 'league_id')::bigint) || '/' || (r ->> 'year')",
        order="league_id, year",
        missing=f"NOT EXISTS (SELECT {_SEASON_OF} WHERE l.id = t.league_id AND s.year = t.year)"
        " AND NOT EXISTS (SELECT FROM kept_seasons k JOIN leagues l USING (provider_league_id)"
        " WHERE l.id = t.league_id AND coalesce(k.year, t.year) = t.year)",
    )


def _renumbered(step: Merge) -> Merge:
    """Of the seasons, those that are stored under another year."""
    return replace(
        step,
        source=f"SELECT l.id AS league_id, r.stored_year::integer, {_of_staged(step.columns[1:])}"
        f" {_SEASON_OF} JOIN renumbered_seasons r USING (provider_league_id, year)",
        match="t.league_id = s.league_id AND t.year = s.stored_year",
        key_columns=("league_id",),
    )


def _coverage(columns: tuple[str, ...]) -> Merge:
    return Merge(
        table="season_coverage",
        source=f"SELECT n.id AS season_id, {_of_staged(columns[1:])} {_SEASON_OF}"
        " JOIN seasons n ON n.league_id = l.id AND n.year = s.year",
        match="t.season_id = s.season_id",
        columns=columns,
        key_columns=("season_id",),
        natural_key="(SELECT l.provider_league_id || '/' || n.year FROM seasons n"
        " JOIN leagues l ON l.id = n.league_id WHERE n.id = row_id)",
        id_column="season_id",
        order="season_id",
    )


def _of_staged(columns: tuple[str, ...]) -> str:
    return ", ".join(f"s.{column}" for column in columns)


def stored_years(connection: Connection) -> StoredYears:
    """What the guard compares with: the listed leagues and the years of their listed seasons."""
    return dict(connection.execute(_STORED_YEARS).fetchall())


def stored_seasons(connection: Connection, leagues: list[int]) -> list[StoredSeason]:
    """Every season of these leagues (provider ids), delisted ones included."""
    return [StoredSeason(*row) for row in connection.execute(_STORED_SEASONS, (leagues,))]


def write_leagues(
    connection: Connection, batch: Batch, *, full: bool, feed_payload: int | None
) -> TableCounts:
    """Writes the batch; only a full response delists, renames and renumbers."""
    stored, known, *_ = execute_batch(
        connection,
        (_STORED_COUNTRIES, None),
        (_KNOWN_LEAGUES, None),
        (_TEMP_BUFFERS, None),
        (_staged(), None),
    )
    renamed = _renames(stored, batch) if full else {}
    slugs = _new_slugs(connection, batch, {number for (number,) in known})
    _stage(connection, batch, renamed=renamed, slugs=slugs)
    countries, leagues, seasons, coverage = _merges()
    received = {
        countries: len(batch.countries),
        leagues: len(batch.leagues),
        seasons: len(batch.seasons),
        coverage: len(batch.seasons),
    }
    moved = _renumber(connection, batch, seasons, feed_payload)
    counts, listed = merge_all(connection, received, feed_payload=feed_payload)
    found = counts["seasons"]
    counts["seasons"] = replace(
        found, updated=found.updated + moved, unchanged=found.unchanged - moved
    )
    if not (full and batch.delists):
        return counts
    # Every staged row is listed by now: only when more are listed can one of them be missing, and
    # counting is cheaper than looking for it. A country follows its last league.
    steps = [step for step in (leagues, seasons) if listed[step.table] > received[step]]
    return delist_all(connection, [*steps, countries], counts, feed_payload=feed_payload)


def _renumber(
    connection: Connection, batch: Batch, seasons: Merge, feed_payload: int | None
) -> int:
    """Renumbers seasons before they are merged; returns how many."""
    if not batch.renumbered:
        return 0
    step = {_renumbered(seasons): len(batch.renumbered)}
    counts, _ = merge_all(connection, step, feed_payload=feed_payload)
    return counts["seasons"].updated


def _renames(rows: Sequence[TupleRow], batch: Batch) -> dict[str, str]:
    stored = {name: StoredCountry(code, frozenset(leagues)) for name, code, leagues in rows}
    return renames(stored, batch)


def _new_slugs(connection: Connection, batch: Batch, known: set[int]) -> dict[int, str]:
    new = [(row, base_slug(row)) for row in batch.leagues if row.provider_league_id not in known]
    if not new:
        return {}
    taken = connection.execute("SELECT slug FROM leagues").fetchall()
    return assign_slugs(new, {slug for (slug,) in taken})


def _stage(
    connection: Connection, batch: Batch, *, renamed: dict[str, str], slugs: dict[int, str]
) -> None:
    """Copies the batch; `renamed` maps a country's new name to its stored one, `slugs` a new
    league's id to its slug.
    """
    countries = ((*row, renamed.get(row.name, row.name)) for row in batch.countries)
    fields = (*CountryRow._fields, "stored_name")
    copy_rows(connection, "staged_countries", fields, countries)
    leagues = ((*row, slugs.get(row.provider_league_id)) for row in batch.leagues)
    copy_rows(connection, "staged_leagues", (*LeagueRow._fields, "slug"), leagues)
    copy_seasons(connection, "staged_seasons", batch.seasons)
    kept: list[tuple[int, int | None]] = [*sorted(batch.quarantined_seasons)]
    kept += [(league, None) for league in sorted(batch.quarantined_leagues)]
    if kept:
        copy_rows(connection, "kept_seasons", ("provider_league_id", "year"), kept)
    if batch.renumbered:
        moved = ((*key, stored) for key, stored in sorted(batch.renumbered.items()))
        copy_rows(
            connection, "renumbered_seasons", ("provider_league_id", "year", "stored_year"), moved
        )
    if len(batch.seasons) > ANALYZE_FROM:
        connection.execute(
            "ANALYZE staged_leagues (provider_league_id), staged_seasons (provider_league_id, year)"
        )
