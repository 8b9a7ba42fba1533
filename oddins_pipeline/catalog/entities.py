"""What one sync keeps in sync: an entity is a value that the lower layers take.

Its names are stored in the database and stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from oddins_pipeline.catalog.rows import RULES_VERSION


@dataclass(frozen=True)
class Entity:
    """One list of the provider and the tables that it fills.

    `name` is stored in `provider_payloads.entity` and, for full syncs, in
    `provider_sync_state.entity`; partial syncs have the state `partial`. `label` is the word for it
    on the command line, in job names and in log lines; `path` is the request's. `normaliser` is the
    version of the rules that turn entries into rows: with another one, an unchanged response is
    published again.
    """

    name: str
    label: str
    path: str
    tables: tuple[str, ...]
    normaliser: int
    partial: str | None = None


LEAGUES = Entity(
    name="leagues_seasons",
    label="leagues",
    path="/leagues",
    tables=("countries", "leagues", "seasons", "season_coverage"),
    normaliser=RULES_VERSION,
    partial="leagues_seasons_partial",
)


@dataclass(frozen=True)
class SyncKey:
    """A full or a partial sync of an entity: what has a row of its own in `provider_sync_state`."""

    entity: Entity
    full: bool = True

    @property
    def state(self) -> str:
        """The name of that row."""
        partial = self.entity.partial
        return self.entity.name if self.full or partial is None else partial
