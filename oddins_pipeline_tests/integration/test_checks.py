"""The asset checks: what each says of a catalog, and that it says so in Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.database.catalog_facts import CatalogFacts, load_facts
from oddins_pipeline.orchestration import checks
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.core import Core, core_on
from oddins_pipeline_tests.support.materialize import materialize
from oddins_pipeline_tests.support.responses import ENTRIES, copied, league, serve
from oddins_pipeline_tests.support.service import Service

DAY = timedelta(hours=26)
NOW = datetime(2026, 4, 2, tzinfo=timezone.utc)


@pytest.fixture
def core(any_database: str) -> Iterator[Core]:
    with core_on(any_database, min_league_share=0, min_season_share=0) as opened:
        opened.sync(ENTRIES)
        yield opened


def looked(core: Core) -> CatalogFacts:
    found = load_facts(core.connection, LEAGUES, stale_after=DAY)
    assert isinstance(found, CatalogFacts)
    return found


@pytest.fixture
def facts(core: Core) -> CatalogFacts:
    return looked(core)


def failed(core: Core) -> set[str]:
    found = looked(core)
    return {check.name for check in checks.CHECKS if not check.decide(found).passed}


def test_a_good_catalog_passes_every_check(core: Core) -> None:
    assert failed(core) == set()


def test_a_season_without_coverage_is_seen_and_force_repairs_it(core: Core) -> None:
    core.execute("DELETE FROM season_coverage WHERE season_id IN (SELECT min(id) FROM seasons)")
    assert failed(core) == {"one_to_one"}
    core.sync(ENTRIES, force=True)
    assert failed(core) == set()


def test_a_listed_row_under_a_delisted_one_is_seen(core: Core) -> None:
    core.execute("UPDATE leagues SET delisted_at = now() WHERE provider_league_id = 2")
    assert failed(core) == {"no_orphan"}
    core.sync(ENTRIES, force=True)
    core.sync(ENTRIES, force=True)
    core.execute("UPDATE countries SET delisted_at = now() WHERE name = 'World'")
    assert failed(core) == {"no_orphan"}


def test_two_current_seasons_are_named_with_their_league(core: Core) -> None:
    two = copied(ENTRIES)
    two[1]["seasons"][0]["current"] = True
    core.sync(two)
    assert failed(core) == {"one_current"}
    words = checks.one_current(looked(core)).words
    assert "2 League 2 (Azerbaidjan)" in words


@pytest.mark.parametrize(
    ("year", "start", "end"),
    [
        (1931, None, None),
        (2099, None, None),
        (2024, "2019-01-01", None),
        (2024, "2024-05-01", "2024-04-01"),
    ],
)
def test_a_year_that_cannot_be_is_named(
    core: Core, year: int, start: str | None, end: str | None
) -> None:
    odd = copied(ENTRIES)
    odd[1]["seasons"].append({"year": year, "start": start, "end": end})
    odd[1]["seasons"] = odd[1]["seasons"][-1:]
    core.sync(odd)
    assert "plausible_years" in failed(core)
    assert f"2/{year} League 2" in checks.plausible_years(looked(core)).words


def test_a_shrunken_and_a_swollen_catalog_are_seen(core: Core) -> None:
    core.sync(ENTRIES[:5])
    assert failed(core) == {"row_count_change"}
    assert "leagues 6 → 5 (+0, −1)" in checks.row_count_change(looked(core)).words
    core.sync(ENTRIES)
    assert failed(core) == {"row_count_change"}
    core.sync(ENTRIES, force=True)
    assert failed(core) == set()


def test_known_duplicates_pass_and_other_anomalies_do_not(core: Core) -> None:
    odd = copied(ENTRIES)
    odd[0]["seasons"].append({**odd[0]["seasons"][0], "start": "2024-09-01"})
    core.sync(odd)
    assert failed(core) == set()
    odd[0]["league"]["surprise"] = 1
    core.sync(odd)
    assert failed(core) == {"anomalies"}
    assert "1 unknown_field" in checks.anomalies(looked(core)).words


def test_a_partial_sync_makes_nothing_fresh(core: Core) -> None:
    core.execute("UPDATE provider_sync_state SET last_synced_at = now() - interval '27 hours'")
    core.sync([league(6, "England", "GB", 2025)], {"season": "2025"})
    assert failed(core) == {"freshness"}
    core.sync(ENTRIES)
    assert failed(core) == set()


def test_staleness_says_how_old_and_what_to_do(facts: CatalogFacts) -> None:
    never = checks.freshness(replace(facts, last_synced_at=None))
    assert "materialize all assets" in never.words
    old = checks.freshness(replace(facts, last_synced_at=NOW - timedelta(hours=30), at=NOW))
    assert "30 h old, more than 26 h" in old.words
    assert "oddins doctor" in old.words


def test_every_check_is_reported_and_a_warning_does_not_fail_the_run(
    service: Service, instance: dg.DagsterInstance
) -> None:
    entries = generate_leagues(0.02)
    for season in entries[0]["seasons"]:
        season["current"] = True
    serve(service, entries)
    result = materialize(instance, "raw_leagues", "seasons", "leagues", "season_coverage")
    assert result.success
    found = {
        (event.asset_key.path[-1], event.check_name): event
        for event in result.get_asset_check_evaluations()
    }
    assert found.keys() == {(check.asset, check.name) for check in checks.CHECKS}
    current = found["seasons", "one_current"]
    assert not current.passed
    assert current.severity == dg.AssetCheckSeverity.WARN
    assert f"{entries[0]['league']['id']} " in str(current.description)


def test_a_selection_of_one_table_reports_every_check_once(
    service: Service, instance: dg.DagsterInstance
) -> None:
    """All four tables are written, whichever are selected."""
    serve(service, generate_leagues(0.02))
    result = materialize(instance, "raw_leagues", "season_coverage")
    found = [(e.asset_key.path[-1], e.check_name) for e in result.get_asset_check_evaluations()]
    assert sorted(found) == sorted((check.asset, check.name) for check in checks.CHECKS)
