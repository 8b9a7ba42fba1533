"""The change feed: applied by `row_id` to a copy taken at `loaded`, it gives the tables."""

from __future__ import annotations

import pytest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.errors import NothingToPublishError, ResponseRejectedError
from oddins_pipeline_tests.support.core import Core, core_on
from oddins_pipeline_tests.support.feed import (
    Copy,
    tables,
)
from oddins_pipeline_tests.support.histories import History

LENIENT = {"min_league_share": 90, "min_season_share": 90, "max_quarantine_share": 50}


def edit_by_hand(core: Core, life: History) -> None:
    """A user changes rows that the list holds."""
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
        assert loaded == [(table,) for table in LEAGUES.tables]
        kinds = core.query("SELECT DISTINCT change FROM catalog_changes ORDER BY 1")
        assert [kind for (kind,) in kinds] == [
            "added",
            "changed",
            "delisted",
            "loaded",
            "relisted",
        ]
