"""Slugs."""

from __future__ import annotations

import pytest

from oddins_pipeline.catalog.rows import LeagueRow
from oddins_pipeline.catalog.slugs import assign_slugs, base_slug
from oddins_pipeline_tests.support.rows import league_row


def league(number: int, country: str, name: str) -> LeagueRow:
    return league_row(number, country, name=name)


def slugs(*leagues: LeagueRow, taken: tuple[str, ...] = ()) -> dict[int, str]:
    return assign_slugs([(one, base_slug(one)) for one in leagues], taken)


@pytest.mark.parametrize(
    ("country", "name", "slug"),
    [
        ("England", "Premier League", "england-premier-league"),
        ("Turkey", "Türkiye Kupası", "turkey-turkiye-kupasi"),
        ("Faroe-Islands", "Løgmanssteypið", "faroe-islands-logmanssteypid"),
        ("England", "AXA Women’s Super League", "england-axa-womens-super-league"),
        ("–", "…!", "league-7"),
    ],
)
def test_names_are_transliterated(country: str, name: str, slug: str) -> None:
    assert slugs(league(7, country, name)) == {7: slug}


def test_the_smaller_id_gets_the_plain_slug_and_the_other_its_id() -> None:
    given = slugs(league(9, "World", "Super Cup"), league(3, "World", "Super Cup"))
    assert given == {3: "world-super-cup", 9: "world-super-cup-9"}


def test_a_stored_slug_is_never_given_again() -> None:
    given = slugs(league(9, "World", "Super Cup"), taken=("world-super-cup", "world-super-cup-9"))
    assert given == {9: "world-super-cup-9-9"}


def test_a_name_that_ends_in_a_number_cannot_take_anothers_slug() -> None:
    given = slugs(league(2, "World", "Cup"), league(3, "World", "Cup"), league(4, "World", "Cup 3"))
    assert len(set(given.values())) == 3


def test_a_slug_is_cut_at_500_characters_its_suffix_included() -> None:
    given = slugs(
        *(league(n, "World", "Long " + "ü" * 490 + end) for n, end in ((7, "a"), (12, "b")))
    )
    assert given[7] == "world-long-" + "u" * 489
    assert given[12] == "world-long-" + "u" * 486 + "-12"
