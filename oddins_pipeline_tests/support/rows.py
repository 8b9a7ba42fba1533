"""Rows of which only some columns matter: the others are null, whatever there are."""

from __future__ import annotations

from typing import Any

from oddins_pipeline.catalog.rows import LeagueRow, SeasonRow


def league_row(number: int, country: str, **known: Any) -> LeagueRow:
    """A league of a country."""
    known = {"name": f"League {number}", **known}
    row = LeagueRow._make([None] * len(LeagueRow._fields))
    return row._replace(provider_league_id=number, country_name=country, **known)


def season_row(league: int, year: int, **known: Any) -> SeasonRow:
    """A season that is not current."""
    row = SeasonRow._make([None] * len(SeasonRow._fields))
    return row._replace(provider_league_id=league, year=year, is_current=False, **known)
