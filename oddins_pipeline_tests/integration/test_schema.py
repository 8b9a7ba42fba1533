"""One definition per table: the migrated database, the rows and the UI agree with it."""

from __future__ import annotations

import psycopg
import pytest

from oddins_pipeline import schema
from oddins_pipeline.catalog.rows import CountryRow, LeagueRow, SeasonRow
from oddins_pipeline.database.schema_check import differences
from oddins_pipeline.orchestration.table_metadata import column_schema
from oddins_pipeline.schema.columns import merged_columns


def test_the_migrated_database_is_what_schema_defines(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        assert differences(connection) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE leagues DROP COLUMN logo_url", "logo_url"),
        ("ALTER TABLE seasons ADD COLUMN note text", "note"),
        ("ALTER TABLE leagues ALTER COLUMN name DROP NOT NULL", "name"),
        ("ALTER TABLE leagues DROP CONSTRAINT leagues_slug_key", "leagues_slug_key"),
        ("ALTER TABLE provider_payloads ALTER COLUMN results TYPE bigint", "results"),
        ("DROP INDEX seasons_current", "seasons_current"),
        ("DROP VIEW season_activity", "season_activity"),
        ("ALTER TABLE leagues ALTER COLUMN created_at DROP DEFAULT", "created_at"),
        ("ALTER TABLE leagues ALTER COLUMN id DROP IDENTITY", "id"),
        (
            "ALTER TABLE backfill_requests DROP CONSTRAINT backfill_requests_attempts_check",
            "backfill_requests_attempts_check",
        ),
    ],
)
def test_a_table_that_was_changed_by_hand_is_named(
    database: str, statement: str, named: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statement.encode())
        assert named in " ".join(differences(connection))


def test_other_tables_are_not_looked_at(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE of_another_team (id int)")
        assert differences(connection) == []


def test_the_rows_have_the_fields_of_the_tables() -> None:
    assert CountryRow._fields == merged_columns(schema.countries)
    names = set(merged_columns(schema.leagues))
    assert {*LeagueRow._fields} - {"country_name"} == names - {"country_id", "slug"}
    seasons, coverage = map(merged_columns, (schema.seasons, schema.season_coverage))
    assert SeasonRow._fields == ("provider_league_id", *seasons[1:], *coverage[1:])


def test_the_ui_shows_the_constraints_of_the_database(database: str) -> None:
    with psycopg.connect(database) as connection:
        for name, table in schema.CATALOG.items():
            rows = connection.execute(
                "SELECT a.attname, NOT a.attnotnull, EXISTS (SELECT FROM pg_index i"
                " WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indkey::text"
                " = a.attnum::text) FROM pg_attribute a WHERE a.attrelid = %s::regclass"
                " AND a.attnum > 0 AND NOT a.attisdropped",
                (name,),
            ).fetchall()
            shown = {
                column.name: (column.constraints.nullable, column.constraints.unique)
                for column in column_schema(table).columns
            }
            assert shown == {column: (null, unique) for column, null, unique in rows}
