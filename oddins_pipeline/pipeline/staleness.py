"""When the catalog is stale, and whether it is healthy: decided here for every caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from oddins_pipeline.catalog.entities import LEAGUES, Entity, SyncKey
from oddins_pipeline.catalog.lists import ENTITIES
from oddins_pipeline.config.settings import Settings


def stale_after(settings: Settings, entity: Entity) -> timedelta:
    """The age of the last full sync from which the entity is stale."""
    is_list = entity != LEAGUES
    return timedelta(
        hours=settings.lists_stale_after_hours if is_list else settings.stale_after_hours
    )


def is_stale(last_synced_at: datetime | None, limit: timedelta, now: datetime) -> bool:
    """Whether the last full sync is too old, or was never."""
    return last_synced_at is None or now - last_synced_at > limit


def problems(states: list[Mapping[str, Any]], settings: Settings, now: datetime) -> Iterator[str]:
    """Why the catalog cannot be trusted today, by the rows of `provider_sync_state`: nothing when
    it is healthy; `now` is the server's time. A full sync makes up for a partial one that failed
    before it. A list that was never requested is no problem.
    """
    by_name = {state["entity"]: state for state in states}
    for entity in ENTITIES:
        full = by_name.get(entity.name)
        if full is None and entity != LEAGUES:
            continue
        of = "" if entity == LEAGUES else f" of {entity.label}"
        synced_at = full["last_synced_at"] if full else None
        success_at = full["last_success_at"] if full else None
        if synced_at is None:
            yield f"no full sync{of} has succeeded yet; run `oddins sync {entity.label}`"
        elif is_stale(synced_at, stale_after(settings, entity), now):
            hours = (now - synced_at).total_seconds() / 3600
            yield f"stale: the last full sync{of} is {hours:.0f} h old; see `oddins doctor`"
        for full_sync in (True, False):
            state = by_name.get(SyncKey(entity, full=full_sync).state)
            failing = state is not None and state["failing"]
            if state and failing and not (success_at and state["last_error_at"] < success_at):
                yield f"failing: {state['entity']}: {state['last_error']}"
