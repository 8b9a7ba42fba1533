"""Delisting, relisting and the renames of countries, as a reader of tables and feed sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oddins_pipeline.errors import ResponseRejectedError
from oddins_pipeline_tests.support.core import Core, core_on
from oddins_pipeline_tests.support.responses import ENTRIES, Entries, copied, league


@pytest.fixture
def core(any_database: str) -> Iterator[Core]:
    """A catalog that one full response has filled; any share of it may be missing later."""
    limits = {"min_league_share": 0, "min_season_share": 0, "max_quarantine_share": 100}
    with core_on(any_database, **limits) as opened:
        opened.sync(ENTRIES)
        yield opened


def listed(core: Core, table: str, name: str) -> list[Any]:
    rows = core.query(f"SELECT {name} FROM {table} WHERE delisted_at IS NULL ORDER BY 1")
    return [value for (value,) in rows]


def changes(core: Core) -> list[tuple[str, str, str]]:
    return [(entity, key, change) for entity, key, change, _, _ in core.feed()]


def test_what_a_full_response_no_longer_lists_is_delisted_and_kept(core: Core) -> None:
    counts = core.sync([entry for entry in ENTRIES if entry["league"]["id"] != 6])
    assert counts["leagues"].delisted == 1
    assert counts["seasons"].delisted == 2
    assert counts["countries"].delisted == 1
    assert listed(core, "leagues", "provider_league_id") == [1, 2, 3, 4, 5]
    assert core.query("SELECT count(*) FROM leagues") == [(6,)]
    assert core.query("SELECT count(*) FROM season_coverage") == [(12,)]
    assert changes(core) == [
        ("leagues", "6", "delisted"),
        ("seasons", "6/2024", "delisted"),
        ("seasons", "6/2025", "delisted"),
        ("countries", "England", "delisted"),
    ]


def test_what_is_listed_again_keeps_its_id_and_reports_its_values_of_today(core: Core) -> None:
    before = core.query("SELECT id, slug FROM leagues WHERE provider_league_id = 6")
    core.sync(ENTRIES[:5])
    back = copied(ENTRIES)
    back[5]["league"]["name"] = "Back Again"
    counts = core.sync(back)
    assert counts["leagues"].inserted == 0
    assert core.query("SELECT id, slug FROM leagues WHERE provider_league_id = 6") == before
    reported = core.feed()[4:]
    assert [(entity, key, change) for entity, key, change, _, _ in reported] == [
        ("countries", "England", "relisted"),
        ("leagues", "6", "relisted"),
        ("seasons", "6/2024", "relisted"),
        ("seasons", "6/2025", "relisted"),
    ]
    ((country,),) = core.query("SELECT id FROM countries WHERE name = 'England'")
    _, _, _, old, new = reported[1]
    assert old is None
    shown = {"country_id": country, "provider_league_id": 6, "slug": before[0][1]}
    assert new == {**new, **shown, "name": "Back Again", "type": "League", "logo_url": None}


def test_a_delisted_rows_stamps_are_the_time_of_its_change(core: Core) -> None:
    core.sync(ENTRIES[:5])
    stamps = core.query(
        "SELECT l.delisted_at = c.changed_at, l.updated_at = c.changed_at FROM leagues l"
        " JOIN catalog_changes c ON c.entity = 'leagues' AND c.row_id = l.id"
    )
    assert stamps == [(True, True)]


def test_a_partial_response_relists_what_it_holds_and_delists_nothing(core: Core) -> None:
    core.sync(ENTRIES[:4])
    core.sync([league(6, "England", "GB", 2025)], {"season": "2025"})
    assert listed(core, "leagues", "provider_league_id") == [1, 2, 3, 4, 6]
    assert listed(core, "countries", "name") == ["Azerbaidjan", "England", "Ukraine", "World"]
    assert core.query(
        "SELECT s.year FROM seasons s JOIN leagues l ON l.id = s.league_id"
        " WHERE l.provider_league_id = 6 AND s.delisted_at IS NULL"
    ) == [(2025,)]


def test_a_quarantined_row_stays_as_it_is_and_is_not_delisted(core: Core) -> None:
    response = copied(ENTRIES)
    response[5]["league"]["name"] = None
    response[4]["seasons"][0]["start"] = "2024-02-30"
    response[3]["seasons"] = []
    counts = core.sync(response)
    assert counts["leagues"].delisted == 0
    assert changes(core) == [
        ("seasons", "4/2024", "delisted"),
        ("seasons", "4/2025", "delisted"),
    ]


def test_an_entry_without_a_readable_id_delists_nothing(core: Core) -> None:
    response = copied(ENTRIES[:5])
    response[4]["league"]["id"] = "5"
    response[0]["league"]["name"] = "Changed all the same"
    core.sync(response)
    assert changes(core) == [("leagues", "1", "changed")]
    assert listed(core, "leagues", "provider_league_id") == [1, 2, 3, 4, 5, 6]


def test_a_refused_response_feeds_nothing(any_database: str) -> None:
    with core_on(any_database) as strict:
        strict.sync(ENTRIES)
        with pytest.raises(ResponseRejectedError):
            strict.sync(ENTRIES[:5])
        assert strict.feed() == []
        assert listed(strict, "leagues", "provider_league_id") == [1, 2, 3, 4, 5, 6]


def renamed(entries: Entries, old: str, new: str, *, code: str | None = None) -> Entries:
    found = copied(entries)
    for entry in found:
        if entry["country"]["name"] == old:
            entry["country"]["name"] = new
            entry["country"]["code"] = code or entry["country"]["code"]
    return found


def test_a_country_is_renamed_in_place(core: Core) -> None:
    ((number,),) = core.query("SELECT id FROM countries WHERE name = 'Azerbaidjan'")
    core.sync(renamed(ENTRIES, "Azerbaidjan", "Azerbaijan"))
    assert core.query("SELECT id FROM countries WHERE name = 'Azerbaijan'") == [(number,)]
    assert core.feed() == [
        (
            *("countries", "Azerbaijan", "changed"),
            *({"name": "Azerbaidjan"}, {"name": "Azerbaijan"}),
        )
    ]


def test_a_rename_is_reported_by_the_leagues_that_the_response_lists(core: Core) -> None:
    core.sync(renamed([*ENTRIES[:2], *ENTRIES[3:]], "Azerbaidjan", "Azerbaijan"))
    assert changes(core) == [
        ("countries", "Azerbaijan", "changed"),
        ("leagues", "3", "delisted"),
        ("seasons", "3/2024", "delisted"),
        ("seasons", "3/2025", "delisted"),
    ]


def test_with_another_code_it_is_another_country(core: Core) -> None:
    core.sync(renamed(ENTRIES, "England", "Britain", code="GB-ENG"))
    assert changes(core) == [
        ("countries", "Britain", "added"),
        ("leagues", "6", "changed"),
        ("countries", "England", "delisted"),
    ]
    ((old,),) = core.query("SELECT id FROM countries WHERE name = 'England'")
    ((new,),) = core.query("SELECT id FROM countries WHERE name = 'Britain'")
    assert core.feed()[1][3:] == ({"country_id": old}, {"country_id": new})


def test_without_a_code_it_is_another_country(core: Core) -> None:
    core.sync(renamed(ENTRIES, "World", "Earth"))
    assert ("countries", "Earth", "added") in changes(core)


def test_two_countries_that_become_one_are_not_renamed(core: Core) -> None:
    merged = renamed(renamed(ENTRIES, "Crimea", "Both"), "Ukraine", "Both")
    core.sync(merged)
    assert changes(core) == [
        ("countries", "Both", "added"),
        ("leagues", "4", "changed"),
        ("leagues", "5", "changed"),
        ("countries", "Crimea", "delisted"),
        ("countries", "Ukraine", "delisted"),
    ]


def test_a_country_whose_leagues_part_is_not_renamed(core: Core) -> None:
    parted = copied(ENTRIES)
    parted[1]["country"]["name"] = "North"
    parted[2]["country"]["name"] = "South"
    core.sync(parted)
    assert [key for entity, key, change in changes(core) if change == "added"] == ["North", "South"]


def test_a_name_that_is_known_already_renames_nothing(core: Core) -> None:
    core.sync(renamed(ENTRIES, "Crimea", "Ukraine"))
    assert changes(core) == [
        ("leagues", "5", "changed"),
        ("countries", "Crimea", "delisted"),
    ]


def test_a_partial_response_renames_nothing(core: Core) -> None:
    core.sync(renamed(ENTRIES[1:2], "Azerbaidjan", "Azerbaijan"), {"id": "2"})
    assert listed(core, "countries", "name").count("Azerbaidjan") == 1
    assert changes(core) == [("countries", "Azerbaijan", "added"), ("leagues", "2", "changed")]
