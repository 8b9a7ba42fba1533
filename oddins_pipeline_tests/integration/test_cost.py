"""What a sync costs the database: counted, not timed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.config.workspace import load_workspace
from oddins_pipeline.database.merge import TableCounts
from oddins_pipeline.pipeline import sync as core
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC
from oddins_pipeline.pipeline.session import open_session
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.responses import Entries, serve
from oddins_pipeline_tests.support.service import Service

Sync = Callable[[], TableCounts]

WAL_AT_MOST = 64 * 1024


@pytest.fixture
def sync(any_service: Service, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """The core's sync in this process, without Dagster."""
    for name, value in any_service.environment().items():
        monkeypatch.setenv(name, value)

    def run() -> TableCounts:
        with open_session(load_workspace(), run_id=None, lock_timeout=0) as session:
            return core.Sync(session, LEAGUE_SYNC).run({}).counts

    return run


def changed(entries: Entries) -> Entries:
    """Every league renamed and every season's `odds` flipped."""
    new = copy.deepcopy(entries)
    for entry in new:
        entry["league"]["name"] += " Renamed"
        for season in entry["seasons"]:
            season["coverage"]["odds"] = not season["coverage"]["odds"]
    return new


def shuffled(entries: Entries) -> Entries:
    """The same in another order: of leagues, of seasons and of keys."""
    return [
        dict(reversed([*{**entry, "seasons": entry["seasons"][::-1]}.items()]))
        for entry in reversed(entries)
    ]


def identities(service: Service) -> list[tuple[Any, ...]]:
    return service.query(
        "SELECT sequencename, last_value FROM pg_sequences WHERE sequencename = ANY(%s) ORDER BY 1",
        [f"{table}_id_seq" for table in LEAGUE_SYNC.entity.tables],
    )


def dead_rows(service: Service) -> list[tuple[Any, ...]]:
    """By the server's statistics, which every session reports at its end."""
    return service.query(
        "SELECT relname, n_tup_upd, n_tup_del, n_dead_tup FROM pg_stat_user_tables"
        " WHERE relname = ANY(%s) ORDER BY 1",
        [*LEAGUE_SYNC.entity.tables],
    )


def wal_position(service: Service) -> int:
    rows = service.query("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
    return int(rows[0][0])


def test_an_unchanged_response_costs_nothing_in_the_four_tables(
    any_service: Service, sync: Sync
) -> None:
    entries = generate_leagues(0.1)
    serve(any_service, entries, shuffled(entries))
    sync()
    rows, values = any_service.versions(), identities(any_service)
    written = []
    for _ in range(3):
        before = wal_position(any_service)
        counts = sync()
        written.append(wal_position(any_service) - before)
        assert all(count.unchanged == count.received > 0 for count in counts.values())
    assert any_service.versions() == rows
    assert identities(any_service) == values
    # The server's own housekeeping writes too, now and then, but not three times running.
    assert min(written) < WAL_AT_MOST
    assert dead_rows(any_service) == [
        (table, 0, 0, 0) for table in sorted(LEAGUE_SYNC.entity.tables)
    ]


def test_a_forced_publication_of_the_same_response_costs_nothing_in_the_four_tables(
    any_service: Service, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = generate_leagues(0.1)
    serve(any_service, entries, shuffled(entries))
    sync()
    rows, values = any_service.versions(), identities(any_service)
    other_rules = replace(LEAGUE_SYNC, entity=replace(LEAGUES, normaliser=LEAGUES.normaliser + 1))
    monkeypatch.setattr("oddins_pipeline_tests.integration.test_cost.LEAGUE_SYNC", other_rules)
    counts = sync()
    assert all(count.unchanged == count.received > 0 for count in counts.values())
    assert any_service.versions() == rows
    assert identities(any_service) == values
    assert any_service.query("SELECT count(*) FROM provider_payloads") == [(2,)]


def test_a_changed_response_writes_what_differs_and_burns_identity_values_for_new_rows_only(
    any_service: Service, sync: Sync
) -> None:
    entries = generate_leagues(0.1)
    more = copy.deepcopy(entries)
    more[0]["league"]["name"] = "Renamed"
    more[0]["seasons"].append({**copy.deepcopy(more[0]["seasons"][-1]), "year": 2031})
    serve(any_service, entries, more)
    sync()
    rows, values = any_service.versions(), dict(identities(any_service))
    sync()
    moved = set(any_service.versions()) - set(rows)
    assert sorted(table for table, *_ in moved) == ["leagues", "season_coverage", "seasons"]
    burnt = {name: last - values[name] for name, last in identities(any_service)}
    assert burnt == {"countries_id_seq": 0, "leagues_id_seq": 0, "seasons_id_seq": 1}


def forget(service: Service) -> None:
    """Makes the next response the first."""
    with psycopg.connect(service.database) as connection:
        connection.execute("TRUNCATE provider_sources, countries CASCADE")


class Statements:
    """Counts what is sent: statements, rows of `executemany`, and COPYs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = 0
        execute, copy_, many = (
            psycopg.Cursor.execute,
            psycopg.Cursor.copy,
            psycopg.Cursor.executemany,
        )

        def counted(method: Any) -> Any:
            def call(cursor: Any, *arguments: Any, **options: Any) -> Any:
                self.sent += 1
                return method(cursor, *arguments, **options)

            return call

        def each(cursor: Any, query: Any, rows: Any, **options: Any) -> Any:
            rows = list(rows)
            self.sent += len(rows)
            return many(cursor, query, rows, **options)

        monkeypatch.setattr(psycopg.Cursor, "execute", counted(execute))
        monkeypatch.setattr(psycopg.Cursor, "copy", counted(copy_))
        monkeypatch.setattr(psycopg.Cursor, "executemany", each)

    def of(self, sync: Sync) -> int:
        """How many a sync sends."""
        self.sent = 0
        sync()
        return self.sent


def test_as_many_statements_are_sent_for_ten_leagues_as_for_hundreds(
    any_service: Service, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = Statements(monkeypatch)
    sent: list[list[int]] = []
    for scale in (0.01, 0.3):
        entries = generate_leagues(scale)
        responses = [entries, shuffled(entries), changed(entries), entries[1:]]
        serve(any_service, *responses)
        monkeypatch.setenv("ODDINS_MIN_LEAGUE_SHARE", "50")
        monkeypatch.setenv("ODDINS_MIN_SEASON_SHARE", "50")
        sent.append([statements.of(sync) for _ in responses])
        forget(any_service)
    assert sent[0] == sent[1]
    assert max(sent[0]) < 60
