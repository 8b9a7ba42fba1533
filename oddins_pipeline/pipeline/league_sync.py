"""The league sync: what only it has, on top of `pipeline.sync`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from oddins_pipeline.catalog import guard
from oddins_pipeline.catalog.entities import LEAGUES, SyncKey
from oddins_pipeline.catalog.guard import GuardLimits
from oddins_pipeline.catalog.normalise import normalise
from oddins_pipeline.catalog.renumberings import (
    StoredYears,
    missing_years,
    renumbered,
    renumberings,
)
from oddins_pipeline.catalog.requests import Params
from oddins_pipeline.catalog.rows import Batch
from oddins_pipeline.catalog.season_range import FIRST_SEASON, is_season, last_season
from oddins_pipeline.database import backfills
from oddins_pipeline.database.connection import Connection, database_errors
from oddins_pipeline.database.league_tables import stored_seasons, stored_years, write_leagues
from oddins_pipeline.database.payloads import Payload
from oddins_pipeline.errors import NotInCatalogError, UsageError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.pipeline.sync import SyncPlan


@dataclass(frozen=True)
class LeagueFilter:
    """Which part of `/leagues` to request; nothing set is the whole list.

    Raises UsageError: a request that the provider would reject costs quota all the same.
    """

    season: int | None = None
    country: str | None = None
    league: int | None = None
    current: bool = False

    def __post_init__(self) -> None:
        if self.season is not None and not is_season(self.season):
            raise UsageError(f"the season is not a year from {FIRST_SEASON} to {last_season()}")
        if self.league is not None and not 1 <= self.league < 2**31:
            raise UsageError("the league is not a provider id from 1 to 2147483647")
        if self.country is not None and not self.country.strip().isprintable():
            raise UsageError("the country holds characters that no name has")
        if self.country is not None and not self.country.strip():
            raise UsageError("the country is empty; leave it out for all countries")

    @property
    def params(self) -> Params:
        """The request's parameters."""
        given = {"season": self.season, "country": self.country, "id": self.league}
        params = {key: str(value) for key, value in given.items() if value is not None}
        return {**params, "current": "true"} if self.current else params

    @property
    def key(self) -> SyncKey:
        """Which sync state such a sync belongs to."""
        return SyncKey(LEAGUES, full=not self.params)


def require_country(connection: Connection, country: str) -> None:
    """Raises NotInCatalogError with the nearest names; an empty catalog has no opinion."""
    with database_errors():
        rows = connection.execute("SELECT name FROM countries ORDER BY name").fetchall()
    known = {str(name).casefold(): str(name) for (name,) in rows}
    wanted = country.strip().casefold()
    if not known or wanted in known:
        return
    near = [known[name] for name in get_close_matches(wanted, known)]
    meant = f"; did you mean {' or '.join(near)}?" if near else "."
    raise NotInCatalogError(
        f"the catalog has no country {sanitize(country, 60)}{meant} Add --force to ask the provider"
        " all the same"
    )


def _validate(
    connection: Connection, batch: Batch, limits: GuardLimits, *, full: bool, force: bool
) -> Batch:
    listed: StoredYears = {}
    if full:
        listed = stored_years(connection)
        if missing := missing_years(listed, batch):
            stored = stored_seasons(connection, list(missing))
            batch = replace(batch, renumbered=renumberings(missing, stored, batch))
            listed = renumbered(listed, batch.renumbered)
    guard.check(batch, listed, limits, full=full, force=force)
    return batch


def _fulfil(connection: Connection, payload: Payload, run_id: str | None) -> None:
    """A fetched season fulfils the requests for it."""
    if payload.season is not None:
        backfills.mark_done(connection, payload.season, run_id)


LEAGUE_SYNC = SyncPlan(LEAGUES, normalise, _validate, write_leagues, _fulfil)
