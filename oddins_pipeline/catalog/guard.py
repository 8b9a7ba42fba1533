"""Whether a response may be published: decided on plain values, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

from oddins_pipeline.catalog.renumberings import StoredYears
from oddins_pipeline.catalog.rows import Batch
from oddins_pipeline.errors import FORCE_HINT, ResponseRejectedError

_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True)
class GuardLimits:
    """Thresholds in percent."""

    league_share: float
    season_share: float
    quarantine_share: float


def check(
    batch: Batch, listed: StoredYears, limits: GuardLimits, *, full: bool, force: bool
) -> None:
    """Raises ResponseRejectedError naming the counts and the override.

    `force` skips the shrinkage check and the quarantine limit, never the check for an empty full
    response.
    """
    if full and not batch.leagues:
        raise ResponseRejectedError(
            "the full response holds no usable league; an empty response is never published",
            refusal_code="empty",
        )
    if force:
        return
    _check_quarantine(batch, limits.quarantine_share)
    if full:
        _check_shares(batch, listed, limits)


def _check_quarantine(batch: Batch, maximum: float) -> None:
    if batch.quarantined_items * 100 > maximum * batch.received_items:
        raise ResponseRejectedError(
            f"{batch.quarantined_items:,} of {batch.received_items:,} leagues and seasons are"
            f" malformed, more than {maximum:g} %; {FORCE_HINT}",
            refusal_code="quarantine",
        )


def _check_shares(batch: Batch, listed: StoredYears, limits: GuardLimits) -> None:
    leagues = {row.provider_league_id for row in batch.leagues} | batch.quarantined_leagues
    seasons = batch.years()
    known_seasons = sum(map(len, listed.values()))
    present_leagues = sum(league in leagues for league in listed)
    present_seasons = sum(
        len(years)
        if league in batch.quarantined_leagues
        else sum(map(seasons.get(league, _NONE).__contains__, years))
        for league, years in listed.items()
    )
    if (
        present_leagues * 100 < limits.league_share * len(listed)
        or present_seasons * 100 < limits.season_share * known_seasons
    ):
        raise ResponseRejectedError(
            f"the response holds {_share(present_leagues, len(listed))} of the listed leagues"
            f" ({present_leagues:,} of {len(listed):,}) and"
            f" {_share(present_seasons, known_seasons)} of the listed seasons"
            f" ({present_seasons:,} of {known_seasons:,}); at least {limits.league_share:g} % and"
            f" {limits.season_share:g} % are expected; {FORCE_HINT}",
            refusal_code="shrunken",
        )


def _share(part: int, whole: int) -> str:
    """Rounded down, so that 99.49 % never reads as the 99.5 % that would have passed."""
    return f"{int(part * 1000 / whole) / 10:g} %" if whole else "100 %"
