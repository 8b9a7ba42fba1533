"""Slugs: given when a league is first seen, never changed after."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from slugify import slugify

from oddins_pipeline.catalog.rows import LeagueRow

MAX_SLUG = 500
"""Characters, the suffix included."""


def base_slug(league: LeagueRow) -> str:
    """`england-premier-league`; `league-<provider id>` when nothing can be transliterated."""
    slug = slugify(f"{league.country_name} {league.name}")[:MAX_SLUG]
    return slug or f"league-{league.provider_league_id}"


def assign_slugs(
    new_leagues: Iterable[tuple[LeagueRow, str]], taken: Collection[str]
) -> dict[int, str]:
    """Provider id → slug for (league, base_slug) pairs, by ascending provider id.

    A taken slug gets `-<provider id>`.
    """
    used = set(taken)
    given: dict[int, str] = {}
    for league, wanted in sorted(new_leagues):
        slug = wanted
        suffix = f"-{league.provider_league_id}"
        while slug in used:
            slug = slug[: MAX_SLUG - len(suffix)] + suffix
        used.add(slug)
        given[league.provider_league_id] = slug
    return given
