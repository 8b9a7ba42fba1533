"""The change feed: applied by `row_id` to a copy taken at `loaded`, it gives the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oddins_pipeline.database.publish import TABLES
from oddins_pipeline.errors import NothingToPublishError, ResponseRejectedError
from oddins_pipeline_tests.core import Core, core_on
from oddins_pipeline_tests.histories import History

ID = dict.fromkeys(TABLES, "id") | {"season_coverage": "season_id"}
LENIENT = {"min_league_share": 90, "min_season_share": 90, "max_quarantine_share": 50}
Rows = dict[int, dict[str, Any]]


def tables(core: Core) -> dict[str, Rows]:
    """Every row of the four tables, timestamps included, as JSON, by id."""
    return {
        table: dict(core.query(f"SELECT {ID[table]}, to_jsonb(t) - 'id' FROM {table} t"))
        for table in TABLES
    }


class Copy:
    """What a consumer keeps who has copied the tables once and polls `id > n` since."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.tables = tables(core)
        ((self.seen,),) = core.query("SELECT max(id) FROM catalog_changes")

    def poll(self, *, edited: bool = False) -> int:
        """Applies what is new; the number of changes. `edited`: a person has changed rows."""
        found = self._core.query(
            "SELECT id, entity, row_id, natural_key, change, before, after, to_jsonb(changed_at)"
            " FROM catalog_changes WHERE id > %s ORDER BY id",
            self.seen,
        )
        for number, entity, row_id, natural_key, change, before, after, at in found:
            rows = self.tables[entity]
            old = rows.get(row_id)
            APPLY[change](rows, row_id, before, after, at)
            assert natural_key == self._natural_key(entity, row_id)
            if before is not None and not edited:
                assert old is not None
                assert {column: old[column] for column in before} == before
            self.seen = number
        return len(found)

    def _natural_key(self, entity: str, row_id: int) -> str:
        row = self.tables[entity][row_id]
        if entity == "countries":
            return str(row["name"])
        if entity == "leagues":
            return str(row["provider_league_id"])
        season = row if entity == "seasons" else self.tables["seasons"][row["season_id"]]
        league = self.tables["leagues"][season["league_id"]]
        return f"{league['provider_league_id']}/{season['year']}"


def added(rows: Rows, row_id: int, before: Any, after: Any, at: str) -> None:
    assert before is None
    assert row_id not in rows
    rows[row_id] = {**after, "created_at": at, "updated_at": at}
    if "season_id" not in after:
        rows[row_id]["delisted_at"] = None


def changed(rows: Rows, row_id: int, before: Any, after: Any, at: str) -> None:
    assert before.keys() == after.keys()
    assert all(before[column] != after[column] for column in after)
    rows[row_id] = {**rows[row_id], **after, "updated_at": at}


def delisted(rows: Rows, row_id: int, before: Any, after: Any, at: str) -> None:
    assert after is None
    assert rows[row_id]["delisted_at"] is None
    assert rows[row_id].keys() - before.keys() == {"created_at", "updated_at", "delisted_at"}
    rows[row_id] = {**rows[row_id], "delisted_at": at, "updated_at": at}


def relisted(rows: Rows, row_id: int, before: Any, after: Any, at: str) -> None:
    assert before is None
    assert rows[row_id]["delisted_at"] is not None
    assert rows[row_id].keys() - after.keys() == {"created_at", "updated_at", "delisted_at"}
    rows[row_id] = {**rows[row_id], **after, "delisted_at": None, "updated_at": at}


APPLY: dict[str, Callable[[Rows, int, Any, Any, str], None]] = {
    "added": added,
    "changed": changed,
    "delisted": delisted,
    "relisted": relisted,
}


def edit_by_hand(core: Core, life: History) -> None:
    """A person changes rows that the list holds."""
    leagues = [life.league()["league"]["id"] for _ in range(3)]
    core.execute("UPDATE leagues SET name = 'Edited' WHERE provider_league_id = ANY(%s)", leagues)
    core.execute(
        "UPDATE season_coverage c SET odds = NOT coalesce(odds, false) FROM seasons s"
        " JOIN leagues l ON l.id = s.league_id WHERE s.id = c.season_id"
        " AND s.delisted_at IS NULL AND l.provider_league_id = ANY(%s)",
        leagues,
    )


def live_on(core: Core, life: History, copy: Copy) -> int:
    """One step of a history; afterwards the copy equals the tables. The number of changes."""
    step = life.chance.random()
    if step < 0.1:
        edit_by_hand(core, life)
        core.sync(life.full(), force=True)
        return copy.poll(edited=True)
    if step < 0.2:
        core.sync(*life.partial())
    elif step < 0.3:
        core.sync(life.malformed(), force=True)
    elif step < 0.4:
        try:
            core.replay()
        except NothingToPublishError:
            core.sync(life.full(), force=True)
    else:
        life.pass_time(life.chance.randrange(8))
        try:
            core.sync(life.full())
        except ResponseRejectedError:
            assert copy.poll() == 0
            core.sync(life.full(), force=True)
    return copy.poll()


@pytest.mark.parametrize("seed", range(6))
def test_the_feed_applied_to_a_copy_gives_the_tables_of_any_later_time(
    any_database: str, seed: int
) -> None:
    life = History(seed)
    with core_on(any_database, **LENIENT) as core:
        for _ in range(life.chance.randrange(3)):
            core.sync(*life.partial())
            assert core.query("SELECT count(*) FROM catalog_changes") == [(0,)]
            life.pass_time(5)
        core.sync(life.full())
        copy = Copy(core)
        changes = 0
        for _ in range(25):
            changes += live_on(core, life, copy)
            assert copy.tables == tables(core)
        assert changes > 50
        loaded = core.query(
            "SELECT entity FROM catalog_changes WHERE change = 'loaded' ORDER BY id"
        )
        assert loaded == [(table,) for table in TABLES]
        kinds = core.query("SELECT DISTINCT change FROM catalog_changes ORDER BY 1")
        assert [kind for (kind,) in kinds] == [
            "added",
            "changed",
            "delisted",
            "loaded",
            "relisted",
        ]
