"""A consumer's copy of the tables, kept by the feed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline_tests.support.core import Core

ID = dict.fromkeys(LEAGUES.tables, "id") | {"season_coverage": "season_id"}


Rows = dict[int, dict[str, Any]]


def tables(core: Core) -> dict[str, Rows]:
    """Every row of the four tables, timestamps included, as JSON, by id."""
    return {
        table: dict(core.query(f"SELECT {ID[table]}, to_jsonb(t) - 'id' FROM {table} t"))
        for table in LEAGUES.tables
    }


class Copy:
    """What a consumer keeps who has copied the tables once and polls `id > n` since."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.tables = tables(core)
        ((self.seen,),) = core.query("SELECT max(id) FROM catalog_changes")

    def poll(self, *, edited: bool = False) -> int:
        """Applies what is new; the number of changes. `edited`: a user has changed rows."""
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
