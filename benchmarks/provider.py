"""The provider's process: serves one of three responses, and computes the tables' expected content.

`python -m benchmarks.provider SCALE DATABASE` writes one JSON line, then reads the name of the
next response from each line of its standard input and confirms it.
"""

from __future__ import annotations

import json
import sys

import psycopg

from benchmarks.content import Content, natural_content
from benchmarks.responses import COLUMNS, Rows, body_of, plain_rows, three_responses
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline.sample_provider.server import packed


def main() -> None:
    """Runs until standard input ends."""
    scale, database = float(sys.argv[1]), sys.argv[2]
    bodies: dict[str, bytes] = {}
    expected: dict[str, Content] = {}
    rows = {"leagues": 0, "seasons": 0}
    for state, entries in three_responses(scale).items():
        bodies[state] = body_of(entries)
        plain = plain_rows(entries)
        expected[state] = _content_of(database, plain)
        rows = {"leagues": len(plain.leagues), "seasons": len(plain.seasons)}
    with SampleProvider(scale=0.01) as provider:
        _write(
            {"url": provider.url, "bytes": len(bodies["first load"]), "expected": expected} | rows
        )
        for line in sys.stdin:
            provider.bodies = [bodies[line.strip()]]
            packed(provider.bodies[0])  # now, so that no measurement includes it
            _write({"serving": line.strip()})


def _content_of(database: str, rows: Rows) -> Content:
    """The content of tables that hold exactly these rows."""
    with psycopg.connect(database) as connection:
        for table, columns in COLUMNS.items():
            kinds = (f"{column} {_kind(column)}" for column in columns)
            connection.execute(f"CREATE TEMPORARY TABLE {table} ({', '.join(kinds)})".encode())
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy,
            ):
                for row in getattr(rows, table):
                    copy.write_row(row)
        return natural_content(connection, "pg_temp")


def _kind(column: str) -> str:
    if column in {"provider_league_id", "year"}:
        return "bigint"
    if column.endswith("_date"):
        return "date"
    return "text" if column in _TEXTS else "boolean"


_TEXTS = {"name", "code", "flag_url", "country_name", "type", "logo_url"}


def _write(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
