"""The provider's process: serves one of three responses, and computes the tables' expected content.

`python -m benchmarks.provider SCALE DATABASE` writes one JSON line, then reads the name of the
next response from each line of its standard input and confirms it.
"""

from __future__ import annotations

import copy
import json
import random
import sys

import psycopg

from benchmarks.content import Content, natural_content
from benchmarks.responses import COLUMNS, STATES, Entry, Rows, plain_rows
from oddins_pipeline.sample_provider import SampleProvider, generate_leagues
from oddins_pipeline.sample_provider.server import packed


def main() -> None:
    """Runs until standard input ends."""
    scale, database = float(sys.argv[1]), sys.argv[2]
    bodies: dict[str, bytes] = {}
    expected: dict[str, Content] = {}
    rows = {"leagues": 0, "seasons": 0}
    for state, entries in _three_responses(scale).items():
        bodies[state] = _body_of(entries)
        plain = plain_rows(entries)
        expected[state] = _content_of(database, plain)
        rows = {"leagues": len(plain.leagues), "seasons": len(plain.seasons)}
    with SampleProvider(scale=0.01) as provider:
        _write({"url": provider.url, "bytes": len(bodies[STATES[0]]), "expected": expected} | rows)
        for line in sys.stdin:
            provider.bodies = [bodies[line.strip()]]
            packed(provider.bodies[0])  # now, so that no measurement includes it
            _write({"serving": line.strip()})


def _three_responses(scale: float) -> dict[str, list[Entry]]:
    """State → entries: a first response, the same in another order, and one with 1 % changed."""
    first = generate_leagues(scale)
    generator = random.Random(2)  # noqa: S311 - a repeatable shuffle
    again = first[:]
    generator.shuffle(again)
    changed = [_changed(entry) for entry in again]
    return dict(zip(STATES, (first, again, changed), strict=True))


def _changed(entry: Entry) -> Entry:
    """Every hundredth league renamed, and about 1 % of the seasons with another flag."""
    number = entry["league"]["id"]
    if number % 10 not in {3, 7} and number % 100:
        return entry
    new = copy.deepcopy(entry)
    if number % 100 == 0:
        new["league"]["name"] += " Renamed"
    for season in new["seasons"]:
        if (number // 10 + season["year"]) % 20 == 0:
            season["coverage"]["odds"] = not season["coverage"]["odds"]
    return new


def _body_of(entries: list[Entry]) -> bytes:
    """A full response as the provider serializes it."""
    envelope = {"get": "leagues", "parameters": [], "errors": [], "results": len(entries)}
    paging = {"current": 1, "total": 1}
    value = {**envelope, "paging": paging, "response": entries}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


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
