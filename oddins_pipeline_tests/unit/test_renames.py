"""Which countries a full response renames: on plain values."""

from __future__ import annotations

import pytest

from oddins_pipeline.catalog.renames import StoredCountry, renames
from oddins_pipeline.catalog.rows import Batch, CountryRow
from oddins_pipeline_tests.support.rows import league_row


def stored(code: str | None, *leagues: int) -> StoredCountry:
    return StoredCountry(code, frozenset(leagues))


def batch(codes: dict[str, str | None], leagues: dict[int, str]) -> Batch:
    return Batch(
        countries=[CountryRow(name, code, None) for name, code in codes.items()],
        leagues=[league_row(number, name) for number, name in leagues.items()],
        seasons=[],
    )


SWAZILAND = {"Swaziland": stored("SZ", 1, 2), "Spain": stored("ES", 3)}
ESWATINI: dict[str, str | None] = {"Eswatini": "SZ", "Spain": "ES"}


@pytest.mark.parametrize("leagues", [{1: "Eswatini", 2: "Eswatini"}, {1: "Eswatini", 3: "Spain"}])
def test_one_new_name_for_all_listed_leagues_with_the_same_code_is_a_rename(
    leagues: dict[int, str],
) -> None:
    assert renames(SWAZILAND, batch(ESWATINI, leagues)) == {"Eswatini": "Swaziland"}


@pytest.mark.parametrize(
    ("before", "codes", "leagues"),
    [
        pytest.param({}, ESWATINI, {1: "Eswatini"}, id="nothing stored"),
        pytest.param(SWAZILAND, ESWATINI, {3: "Spain"}, id="no league listed"),
        pytest.param(
            SWAZILAND, {**ESWATINI, "Swaziland": "SZ"}, {1: "Eswatini"}, id="old name present"
        ),
        pytest.param(SWAZILAND, ESWATINI, {1: "Eswatini", 2: "Spain"}, id="leagues split"),
        pytest.param(SWAZILAND, {"Spain": "ES"}, {1: "Spain", 2: "Spain"}, id="name is stored"),
        pytest.param(SWAZILAND, {"Eswatini": "SW"}, {1: "Eswatini"}, id="other code"),
        pytest.param(SWAZILAND, {"Eswatini": None}, {1: "Eswatini"}, id="code unknown"),
        pytest.param(
            {"Swaziland": stored(None, 1)}, {"Eswatini": None}, {1: "Eswatini"}, id="no codes"
        ),
        pytest.param(
            {"Swaziland": stored("SZ", 1), "Ngwane": stored("SZ", 2)},
            ESWATINI,
            {1: "Eswatini", 2: "Eswatini"},
            id="two stored names become one",
        ),
    ],
)
def test_anything_else_is_a_new_country(
    before: dict[str, StoredCountry], codes: dict[str, str | None], leagues: dict[int, str]
) -> None:
    assert renames(before, batch(codes, leagues)) == {}
