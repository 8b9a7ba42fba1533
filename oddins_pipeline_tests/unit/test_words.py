"""Numbers as people read them."""

from __future__ import annotations

import pytest

from oddins_pipeline.cli.words import shown_bytes, shown_seconds


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (2_400, "2 kB"), (2_969_000, "3.0 MB"), (5 * 10**10, "50.0 GB")],
)
def test_bytes_have_the_unit_that_fits(count: int, shown: str) -> None:
    assert shown_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.844, "0.84 s"), (12.3, "12 s"), (129, "2 min 9 s"), (90_061, "1 d 1 h")],
)
def test_seconds_are_shown_in_two_units_at_most(seconds: float, shown: str) -> None:
    assert shown_seconds(seconds) == shown
