"""The guard: which responses may be published."""

from __future__ import annotations

import pytest

from oddins_pipeline.catalog.guard import GuardLimits, check
from oddins_pipeline.catalog.rows import Batch
from oddins_pipeline.errors import ResponseRejectedError
from oddins_pipeline_tests.support.rows import league_row, season_row

LIMITS = GuardLimits(league_share=99.5, season_share=99, quarantine_share=1)


def batch(leagues: int, years: int = 1, **changes: object) -> Batch:
    """`leagues` leagues with `years` seasons each, from 2001 on."""
    rows = [league_row(n, "X") for n in range(1, leagues + 1)]
    seasons = [
        season_row(n, year) for n in range(1, leagues + 1) for year in range(2001, 2001 + years)
    ]
    received = len(rows) + len(seasons)
    return Batch([], rows, seasons, received_items=received, **changes)  # type: ignore[arg-type]


def listed(leagues: int, years: int = 1) -> dict[int, list[int]]:
    return {n: list(range(2001, 2001 + years)) for n in range(1, leagues + 1)}


def refusal(response: Batch, stored: dict[int, list[int]], **how: bool) -> str | None:
    try:
        check(response, stored, LIMITS, full=how.get("full", True), force=how.get("force", False))
    except ResponseRejectedError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("present", "accepted"), [(200, True), (199, True), (198, False)])
def test_at_least_99_and_a_half_percent_of_the_leagues(present: int, accepted: bool) -> None:
    # Many seasons in league 1 alone, so that the leagues decide.
    stored = {**listed(200), 1: list(range(2001, 2101)) * 200}
    response = batch(present)
    response.seasons.extend(season_row(1, year) for year in range(2002, 2101))
    assert (refusal(response, stored) is None) is accepted


@pytest.mark.parametrize(("present", "accepted"), [(99, True), (98, False)])
def test_at_least_99_percent_of_the_seasons(present: int, accepted: bool) -> None:
    reported = refusal(batch(1, years=present), listed(1, years=100))
    assert (reported is None) is accepted
    if reported:
        assert "98 % of the listed seasons (98 of 100)" in reported
        assert "--force" in reported


def test_a_share_just_below_the_limit_never_reads_as_the_limit() -> None:
    reported = refusal(batch(9949), listed(10_000))
    assert reported is not None
    assert "99.4 % of the listed leagues (9,949 of 10,000)" in reported


def test_any_response_that_is_not_empty_passes_on_an_empty_database() -> None:
    assert refusal(batch(1), {}) is None
    assert refusal(batch(0), {}) is not None


def test_force_passes_the_shares_and_the_quarantine_but_no_empty_response() -> None:
    spoilt = batch(50, quarantined_items=40)
    assert refusal(spoilt, listed(100)) is not None
    assert refusal(spoilt, listed(100), force=True) is None
    assert refusal(batch(0), listed(100), force=True) is not None


@pytest.mark.parametrize(("items", "accepted"), [(2, True), (3, False)])
def test_one_percent_may_be_quarantined(items: int, accepted: bool) -> None:
    reported = refusal(batch(100, quarantined_items=items), {})
    assert (reported is None) is accepted


def test_a_partial_response_has_no_shares_to_meet_but_a_quarantine_threshold() -> None:
    assert refusal(batch(1), listed(100), full=False) is None
    assert refusal(batch(0), listed(100), full=False) is None
    assert refusal(batch(10, quarantined_items=5), listed(100), full=False) is not None


def test_what_is_quarantined_counts_as_present() -> None:
    response = batch(
        198,
        quarantined_leagues=frozenset({199}),
        quarantined_seasons=frozenset({(200, 2001)}),
        quarantined_items=2,
    )
    assert refusal(response, listed(200)) is None


def test_all_seasons_of_a_quarantined_league_count_as_present() -> None:
    stored = {**listed(99), 100: list(range(1901, 2101))}
    quarantined = batch(99, quarantined_leagues=frozenset({100}), quarantined_items=1)
    assert refusal(quarantined, stored) is None


def test_a_season_missing_from_another_league_does_not_count_as_present() -> None:
    stored = {**listed(100), 1: list(range(2001, 2101))}
    quarantined = batch(99, quarantined_leagues=frozenset({100}), quarantined_items=1)
    assert "of the listed seasons (100 of 199)" in str(refusal(quarantined, stored))
