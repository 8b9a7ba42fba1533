"""What was confirmed later wins, seasons keep their ids, and times are the server's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from oddins_pipeline.database.connection import connect
from oddins_pipeline.database.revision import REVISIONS, ensure_current
from oddins_pipeline.database.status import load_status
from oddins_pipeline.errors import (
    LockHeldError,
    NothingToPublishError,
    ResponseRejectedError,
    SchemaError,
)
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC
from oddins_pipeline.pipeline.staleness import problems
from oddins_pipeline.pipeline.sync import Sync
from oddins_pipeline_tests.support.core import Core, core_on
from oddins_pipeline_tests.support.feed import Copy, tables
from oddins_pipeline_tests.support.responses import ENTRIES, Entries, copied, season


@pytest.fixture
def core(any_database: str) -> Iterator[Core]:
    """A catalog that one full response has filled, of which any share may be missing later."""
    limits = {"min_league_share": 0, "min_season_share": 90, "max_quarantine_share": 100}
    with core_on(any_database, **limits) as opened:
        opened.sync(ENTRIES)
        yield opened


def renamed(name: str) -> Entries:
    entries = copied(ENTRIES)
    entries[0]["league"]["name"] = name
    return entries


def state(core: Core) -> list[object]:
    return list(
        core.query(
            "SELECT s.last_synced_at = p.fetched_at, s.last_success_at, s.last_synced_at"
            " FROM provider_sync_state s JOIN provider_payloads p"
            " ON p.id = (s.cursor ->> 'payload_id')::bigint"
        )[0]
    )


@pytest.mark.parametrize("force", [False, True])
def test_what_is_older_than_the_newest_confirmation_is_not_published(
    core: Core, *, force: bool
) -> None:
    """B is archived and its run ends there; then the provider sends A again."""
    core.archive(renamed("B"), run_id="interrupted")
    core.sync(ENTRIES)
    before, known = tables(core), state(core)
    sync = Sync(core.session, LEAGUE_SYNC, force=force)
    with pytest.raises(NothingToPublishError, match="published or confirmed since"):
        sync.replayed()
    with pytest.raises(NothingToPublishError, match="published or confirmed since"):
        sync.stored(retry_of="interrupted")
    sync.publish(sync.validate(sync.stored()))
    assert tables(core) == before
    assert state(core) == known, "replaying what was published moves neither time"


def test_a_payload_that_nothing_newer_has_confirmed_is_published_with_the_time_of_its_fetch(
    core: Core,
) -> None:
    core.archive(renamed("B"), run_id="interrupted")
    core.execute("UPDATE provider_payloads SET fetched_at = fetched_at - interval '1 minute'")
    _, before, _ = state(core)
    sync = Sync(core.session, LEAGUE_SYNC)
    sync.publish(sync.validate(sync.stored(retry_of="interrupted")))
    is_the_fetch, success, synced = state(core)
    assert is_the_fetch
    assert success > before > synced  # type: ignore[operator]


def test_a_replay_with_force_takes_what_force_may_publish_and_nothing_else(core: Core) -> None:
    with pytest.raises(ResponseRejectedError):
        core.sync([*ENTRIES[:2]])
    sync = Sync(core.session, LEAGUE_SYNC, force=True)
    shrunken = sync.replayed()
    core.execute(
        "UPDATE provider_payloads SET refusal_code = 'mismatched' WHERE id = %s", shrunken.id
    )
    assert sync.replayed().id < shrunken.id
    core.execute(
        "UPDATE provider_payloads SET refusal_code = 'shrunken' WHERE id = %s", shrunken.id
    )
    sync.publish(sync.validate(sync.replayed()))
    published = core.query(
        "SELECT refusal, refusal_code, published_at IS NOT NULL FROM provider_payloads"
        " WHERE id = %s",
        shrunken.id,
    )
    assert published == [(None, None, True)]


def years_of_league_3(core: Core) -> dict[int, int]:
    found: list[tuple[int, int]] = core.query(
        "SELECT year, s.id FROM seasons s JOIN leagues l ON l.id = league_id"
        " WHERE provider_league_id = 3"
    )
    return dict(found)


def test_a_renumbered_season_keeps_its_id_and_is_no_rollover(core: Core) -> None:
    copy = Copy(core)
    ids = years_of_league_3(core)
    entries = copied(ENTRIES)
    entries[2]["seasons"][1]["year"] = 2026
    entries[2]["seasons"][1]["coverage"]["odds"] = None
    entries[2]["seasons"].append(season(2030))
    counts = core.sync(entries)["seasons"]
    assert (counts.inserted, counts.updated, counts.delisted) == (1, 1, 0)
    now = years_of_league_3(core)
    assert now[2026] == ids[2025]
    assert now.keys() == {2024, 2026, 2030}
    changed = [row for row in core.feed() if row[2] == "changed" and row[0] == "seasons"]
    assert changed == [("seasons", "3/2026", "changed", {"year": 2025}, {"year": 2026})]
    assert core.query("SELECT count(*) FROM season_rollovers") == [(0,)]
    copy.poll()
    assert copy.tables == tables(core)
    assert core.sync(entries, force=True)["seasons"].updated == 0


def test_the_guard_takes_a_renumbered_season_for_present(core: Core) -> None:
    entries = copied(ENTRIES)
    for entry in entries:
        entry["seasons"][1]["year"] = 2026
    assert core.sync(entries)["seasons"].updated == len(ENTRIES)
    core.execute("UPDATE seasons SET start_date = NULL")
    for entry in entries:
        entry["seasons"][1]["year"] = 2027
    with pytest.raises(ResponseRejectedError):
        core.sync(entries)


def test_a_schema_that_was_upgraded_meanwhile_takes_nothing_over(core: Core) -> None:
    before = tables(core)
    core.execute("UPDATE oddins_alembic_version SET version_num = '9999'")
    for entries in (renamed("B"), ENTRIES):
        with pytest.raises(SchemaError, match="9999 during this sync"):
            core.sync(entries)
    assert tables(core) == before


def test_failing_now_is_decided_by_the_last_success_not_by_the_last_fetch(core: Core) -> None:
    core.execute(
        "UPDATE provider_sync_state SET last_error = 'no', last_error_at = clock_timestamp(),"
        " last_synced_at = now() + interval '2 hours'"
    )
    settings = core.session.workspace.settings
    status = load_status(core.connection)
    (found,) = problems(status["sync"], settings, status["at"])
    assert found == "failing: leagues_seasons: no"
    core.sync(ENTRIES)
    status = load_status(core.connection)
    assert list(problems(status["sync"], settings, status["at"])) == []


def test_upgrades_take_turns_with_each_other_and_with_a_sync(database: str) -> None:
    with core_on(database) as opened:
        workspace = opened.session.workspace
        opened.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        with connect(workspace, purpose="test") as other, pytest.raises(LockHeldError):
            ensure_current(other, workspace, upgrade_itself=True, wait=0)
    errors: list[Exception] = []

    def upgrade() -> None:
        try:
            with connect(workspace, purpose="test") as own:
                ensure_current(own, workspace, upgrade_itself=True, wait=60)
        except Exception as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with connect(workspace, purpose="test") as own:
        found = own.execute("SELECT version_num FROM oddins_alembic_version").fetchall()
    assert found == [(REVISIONS[-1],)]
