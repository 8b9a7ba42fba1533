"""Events: the outbox `webhook_events`, and what the change feed holds beyond a cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from oddins_pipeline.catalog import events
from oddins_pipeline.catalog.entities import Entity, SyncKey
from oddins_pipeline.catalog.events import Change, Event
from oddins_pipeline.database.connection import Connection, Query

_ORDER_LOCK = 5_411_207_733_190_245

# Its rows become visible in the order of their ids, or a reader's cursor would skip one. With
# `after`, only when one of these types is newer than the last event of this type; `first` counts
# when there is neither. With `payload`, only when that is published for the first time.
_ADD = """
INSERT INTO webhook_events (type, entity, text, facts)
SELECT %(type)s::text, %(entity)s::text, %(text)s, %(facts)s::jsonb
FROM (SELECT pg_advisory_xact_lock(%(lock)s)) AS ordered
WHERE (%(after)s::text[] IS NULL OR coalesce((
    SELECT type = ANY(%(after)s::text[]) FROM webhook_events
    WHERE entity IS NOT DISTINCT FROM %(entity)s::text
        AND type = ANY(%(after)s::text[] || %(type)s::text)
    ORDER BY id DESC LIMIT 1), %(first)s))
    AND NOT EXISTS (
        SELECT FROM provider_payloads WHERE id = %(payload)s AND published_at IS NOT NULL)
RETURNING id, at
"""

# Whether an event of this type was written today (UTC).
_WRITTEN_TODAY = """
SELECT EXISTS (SELECT FROM webhook_events WHERE type = %s
    AND at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')
"""

# The ends of the feed and of the outbox.
_HEADS = """
SELECT coalesce((SELECT max(id) FROM catalog_changes), 0),
    coalesce((SELECT max(id) FROM webhook_events), 0)
"""

# Changes that events derive from, of watched leagues: no first load, no replay. `before` of a
# relisted row is what was delisted.
_CHANGES = """
SELECT c.id, c.payload_id, c.changed_at, c.entity, c.natural_key, c.change,
    coalesce(c.before, (
        SELECT d.before FROM catalog_changes d
        WHERE c.change = 'relisted' AND d.change = 'delisted'
            AND d.entity = c.entity AND d.row_id = c.row_id AND d.id < c.id
        ORDER BY d.id DESC LIMIT 1)) AS before,
    c.after, l.name AS league, n.name AS country
FROM catalog_changes c
JOIN provider_payloads p ON p.id = c.payload_id
JOIN leagues l ON l.provider_league_id = split_part(c.natural_key, '/', 1)::integer
JOIN countries n ON n.id = l.country_id
WHERE c.id > %(cursor)s AND c.entity IN ('leagues', 'seasons', 'season_coverage')
    AND c.change <> 'loaded' AND c.changed_at <= p.first_published_at
    AND (NOT EXISTS (SELECT FROM watched_leagues)
        OR l.provider_league_id IN (SELECT provider_league_id FROM watched_leagues))
ORDER BY c.id LIMIT %(limit)s
"""

# State events beyond a cursor.
_EVENTS = """
SELECT 's' || id AS id, type, at, text, facts || jsonb_build_object('entity', entity) AS facts
FROM webhook_events WHERE id > %(cursor)s ORDER BY webhook_events.id LIMIT %(limit)s
"""


def _adding(
    kind: str,
    text: str,
    entity: str | None,
    facts: Mapping[str, Any],
    after: Sequence[str] = (),
    *,
    first: bool = False,
    payload: int | None = None,
) -> Query:
    values = {"type": kind, "text": text, "entity": entity, "facts": json.dumps(facts)}
    conditions = {"after": list(after) or None, "first": first, "payload": payload}
    return _ADD, {**values, **conditions, "lock": _ORDER_LOCK}


def add(connection: Connection, kind: str, text: str, entity: str | None, **facts: Any) -> Event:
    """Writes an event in the caller's transaction."""
    row = connection.execute(*_adding(kind, text, entity, facts)).fetchone()
    assert row is not None
    return Event(f"s{row[0]}", kind, row[1], text, {**facts, "entity": entity})


def recovery(key: SyncKey, *, payload: int | None = None) -> list[Query]:
    """Part of the transaction that accepts a response: ends what was reported as failing or stale.
    A full sync makes up for a partial one that failed before it; a replay of `payload` does not.
    """
    label, failed = key.entity.label, (events.FAILED, events.REJECTED)
    states = {key.state, SyncKey(key.entity, full=False).state} if key.full else {key.state}
    text = f"the sync of {label} succeeds again"
    queries = [
        _adding(events.RECOVERED, text, state, {}, failed, payload=payload)
        for state in sorted(states)
    ]
    if key.full:
        text = f"the catalog's {label} are fresh again"
        stale = [events.STALE]
        queries.append(_adding(events.FRESH, text, key.state, {}, stale, payload=payload))
    return queries


def quarantine(key: SyncKey, payload_id: int, items: int) -> list[Query]:
    """Part of the same: items of the response were left out."""
    text = f"{items} items of payload {payload_id} were quarantined"
    facts = {"payload_id": payload_id, "items": items}
    query = _adding(events.QUARANTINED, text, key.state, facts, payload=payload_id)
    return [query] if items else []


def add_stale(connection: Connection, entity: Entity, last_synced_at: datetime) -> None:
    """One event for each period of staleness."""
    text = (
        f"the catalog's {entity.label} are stale: the last full sync succeeded at"
        f" {last_synced_at:%Y-%m-%d %H:%M} UTC; see `oddins status` and `oddins doctor`"
    )
    facts = {"last_synced_at": last_synced_at.isoformat()}
    query = _adding(events.STALE, text, entity.name, facts, [events.FRESH], first=True)
    connection.execute(*query)


def written_today(connection: Connection, kind: str) -> bool:
    """Whether such an event was written today (UTC)."""
    row = connection.execute(_WRITTEN_TODAY, (kind,)).fetchone()
    return bool(row and row[0])


def heads(connection: Connection) -> tuple[int, int]:
    """The newest ids of the feed and of the outbox: where a new receiver begins."""
    row = connection.execute(_HEADS).fetchone()
    assert row is not None
    return row[0], row[1]


def changes_after(connection: Connection, cursor: int, *, limit: int) -> list[Change]:
    """Changes of the feed that events may derive from, oldest first."""
    with connection.cursor(row_factory=class_row(Change)) as rows:
        return rows.execute(_CHANGES, {"cursor": cursor, "limit": limit}).fetchall()


def events_after(connection: Connection, cursor: int, *, limit: int) -> list[Event]:
    """State events, oldest first."""
    with connection.cursor(row_factory=class_row(Event)) as rows:
        return rows.execute(_EVENTS, {"cursor": cursor, "limit": limit}).fetchall()
