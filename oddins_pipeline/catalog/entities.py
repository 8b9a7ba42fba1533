"""What one sync keeps in sync: an entity is a value that the lower layers take.

Its names are stored in the database and stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entity:
    """One list of the provider and the tables that it fills.

    `name` is stored in `provider_payloads.entity` and, for full syncs, in
    `provider_sync_state.entity`; partial syncs have the state `partial`. `path` is the request's
    path. `normaliser` is the version of the rules that turn entries into rows: with another one,
    an unchanged response is published again.
    """

    name: str
    path: str
    tables: tuple[str, ...]
    normaliser: int
    partial: str | None = None

    @property
    def label(self) -> str:
        """The word for it on the command line and in log lines, such as `leagues`."""
        return self.path.rpartition("/")[2]

    @property
    def states(self) -> tuple[str, ...]:
        """The names of its rows in `provider_sync_state`."""
        return (self.name, self.partial) if self.partial else (self.name,)

    def state(self, *, full: bool) -> str:
        """The name of the row that a full or a partial sync updates."""
        return self.name if full or self.partial is None else self.partial


LEAGUES = Entity(
    name="leagues_seasons",
    path="/leagues",
    tables=("countries", "leagues", "seasons", "season_coverage"),
    normaliser=1,
    partial="leagues_seasons_partial",
)
