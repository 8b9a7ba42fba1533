"""Which seasons a full response renumbers: on plain values."""

from __future__ import annotations

import pytest

from oddins_pipeline.catalog.renumberings import (
    StoredSeason,
    missing_years,
    renumbered,
    renumberings,
)
from oddins_pipeline.catalog.rows import Batch, SeasonRow
from oddins_pipeline_tests.support.rows import league_row, season_row

DATES = ("2024-08-01", "2025-05-31")
OTHER = ("2023-08-01", "2024-05-31")
Dates = tuple[str | None, str | None]


def season(year: int, dates: Dates) -> SeasonRow:
    return season_row(39, year, start_date=dates[0], end_date=dates[1])


def found(
    stored: dict[int, Dates],
    sent: dict[int, Dates],
    *,
    delisted: dict[int, Dates] | None = None,
    kept: frozenset[tuple[int, int]] = frozenset(),
    kept_leagues: frozenset[int] = frozenset(),
) -> dict[tuple[int, int], int]:
    batch = Batch(
        countries=[],
        leagues=[league_row(39, "England")],
        seasons=[season(year, dates) for year, dates in sent.items()],
        quarantined_seasons=kept,
        quarantined_leagues=kept_leagues,
    )
    missing = missing_years({39: list(stored)}, batch)
    rows = {**stored, **(delisted or {})}
    return dict(
        renumberings(missing, [StoredSeason(39, y, *dates) for y, dates in rows.items()], batch)
    )


@pytest.mark.parametrize(
    "sent",
    [{2025: DATES}, {2025: DATES, 2026: OTHER}, {2025: DATES, 2026: (None, None)}],
    ids=["alone", "beside a new season", "beside one without dates"],
)
def test_the_only_new_year_with_the_dates_of_the_only_missing_one_takes_its_place(
    sent: dict[int, Dates],
) -> None:
    assert found({2023: OTHER, 2024: DATES}, {2023: OTHER, **sent}) == {(39, 2025): 2024}


NO_DATE: Dates = (DATES[0], None)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        pytest.param({2024: DATES}, {2024: DATES, 2025: DATES}, id="none is missing"),
        pytest.param({2023: OTHER, 2024: DATES}, {2025: DATES}, id="two are missing"),
        pytest.param({2024: DATES}, {2025: DATES, 2026: DATES}, id="two have the dates"),
        pytest.param({2024: DATES}, {2025: OTHER}, id="other dates"),
        pytest.param({2024: NO_DATE}, {2025: NO_DATE}, id="a date is unknown"),
        pytest.param({2024: DATES}, {}, id="nothing new"),
    ],
)
def test_in_doubt_nothing_is_renumbered(stored: dict[int, Dates], sent: dict[int, Dates]) -> None:
    assert found(stored, sent) == {}


def test_a_year_that_is_stored_is_not_new_even_when_delisted() -> None:
    assert found({2024: DATES}, {2025: DATES}, delisted={2025: OTHER}) == {}


def test_a_quarantined_season_is_not_missing() -> None:
    assert found({2024: DATES}, {2025: DATES}, kept=frozenset({(39, 2024)})) == {}
    assert found({2024: DATES}, {2025: DATES}, kept_leagues=frozenset({39})) == {}


def test_the_guard_compares_with_the_new_year() -> None:
    assert renumbered({39: [2023, 2024], 61: [2024]}, {(39, 2025): 2024}) == {
        39: [2023, 2025],
        61: [2024],
    }
