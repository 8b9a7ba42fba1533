"""Publishing is one transaction: what fails in it leaves everything as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.requests import SOURCE
from oddins_pipeline.catalog.response import RawResponse, canonical_hash
from oddins_pipeline.errors import DatabaseError
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC
from oddins_pipeline.pipeline.sync import Sync
from oddins_pipeline_tests.support.core import Core, Row, core_on
from oddins_pipeline_tests.support.responses import ENTRIES, body_of, copied, season

SEASON = {"season": "2024"}


@pytest.fixture
def core(database: str) -> Iterator[Core]:
    with core_on(database) as opened:
        yield opened


def response(params: dict[str, str]) -> RawResponse:
    """ENTRIES as the provider returns them, with the requested season only."""
    entries = copied(ENTRIES)
    for entry in entries:
        entry["seasons"] = [
            one for one in entry["seasons"] if params.get("season") in {None, str(one["year"])}
        ]
    return RawResponse(
        body=body_of(entries),
        params=params,
        entries=entries,
        sha256=canonical_hash(entries),
        fetched_at=datetime.now(timezone.utc),
        source=SOURCE,
        base_url="https://provider.example.test",
        quota=Quota(),
        results=len(entries),
    )


def publish(core: Core, params: dict[str, str]) -> None:
    sync = Sync(core.session, LEAGUE_SYNC)
    sync.publish(sync.validate(sync.archive(response(params))))


def tables(core: Core) -> list[Row]:
    """All that publishing writes, row versions included."""
    names = [*LEAGUES.tables, "catalog_changes", "provider_sync_state", "backfill_requests"]
    found = []
    for name in names:
        found += core.query(f"SELECT '{name}', ctid::text, xmin::text, t::text FROM {name} t")
    return sorted(found)


def test_a_sync_that_lost_the_lock_before_the_commit_writes_nothing(core: Core) -> None:
    sync = Sync(core.session, LEAGUE_SYNC)
    publication = sync.validate(sync.archive(response({})))
    before = tables(core)
    core.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(DatabaseError, match="the advisory lock was lost before the commit"):
        sync.publish(publication)
    assert tables(core) == before
    assert core.query("SELECT published_at FROM provider_payloads") == [(None,)]


def test_a_sync_that_lost_the_lock_leaves_the_previous_catalog(core: Core) -> None:
    publish(core, {})
    sync = Sync(core.session, LEAGUE_SYNC)
    changed = response({})
    changed.entries[0]["seasons"].append(season(2026))
    changed = replace(changed, sha256=canonical_hash(changed.entries))
    publication = sync.validate(sync.archive(changed))
    before = tables(core)
    core.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(DatabaseError, match="nothing was written"):
        sync.publish(publication)
    assert tables(core) == before


# Each makes the server refuse one of the two statements that record an unchanged response.
REFUSE_DONE = "ALTER TABLE backfill_requests ADD CHECK (status <> 'done')"
REFUSE_SEEN = "ALTER TABLE provider_payloads ADD CHECK (last_seen_at = fetched_at)"


@pytest.mark.parametrize("refuse", [REFUSE_DONE, REFUSE_SEEN], ids=["done", "seen"])
def test_an_unchanged_season_is_seen_and_its_backfill_done_or_neither(
    core: Core, refuse: str
) -> None:
    publish(core, SEASON)
    core.execute("INSERT INTO backfill_requests (season) VALUES (2024)")
    recorded = "SELECT last_seen_at, published_at FROM provider_payloads"
    before = (tables(core), core.query(recorded))
    core.execute(refuse)
    with pytest.raises(DatabaseError):
        publish(core, SEASON)
    assert (tables(core), core.query(recorded)) == before


# The server refuses the published payload, at once or at the commit.
REFUSE_PUBLISHED = "ALTER TABLE provider_payloads ADD CHECK (published_at IS NULL)"
REFUSE_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'refused at the commit'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON provider_payloads
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.mark.parametrize(
    "refuse", [REFUSE_DONE, REFUSE_PUBLISHED, REFUSE_COMMIT], ids=["done", "published", "commit"]
)
def test_a_season_is_published_and_its_backfill_done_or_neither(core: Core, refuse: str) -> None:
    core.execute("INSERT INTO backfill_requests (season) VALUES (2024)")
    before = tables(core)
    core.execute(refuse)
    with pytest.raises(DatabaseError):
        publish(core, SEASON)
    assert tables(core) == before
    assert core.query("SELECT published_at FROM provider_payloads") == [(None,)]


def test_an_unchanged_response_is_published_again_by_newer_rules(core: Core) -> None:
    newer = replace(LEAGUES, normaliser=LEAGUES.normaliser + 1)
    plan = replace(LEAGUE_SYNC, entity=newer)
    publish(core, {})
    assert Sync(core.session, LEAGUE_SYNC).archive(response({})).unchanged
    sync = Sync(core.session, plan)
    payload = sync.archive(response({}))
    assert not payload.unchanged
    sync.publish(sync.validate(payload))
    cursors = core.query("SELECT cursor FROM provider_sync_state")
    assert [(cursor["payload_id"], cursor["normaliser"]) for (cursor,) in cursors] == [
        (payload.id, newer.normaliser)
    ]
    assert Sync(core.session, plan).archive(response({})).unchanged
    assert core.query("SELECT id FROM provider_payloads WHERE published_at IS NOT NULL") == [
        (1,),
        (payload.id,),
    ]
