"""Events: the outbox `webhook_events`, and what the change feed holds beyond a cursor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg.rows import class_row

from oddins_pipeline.catalog import events
from oddins_pipeline.catalog.entities import SyncKey
from oddins_pipeline.catalog.events import Change, Event
from oddins_pipeline.database.connection import Connection, Query

PAGE = 500

_ORDER_LOCK = 5_411_207_733_190_245

# Its rows become visible in the order of their ids, or a reader's cursor would skip one. With
# `after`, only when one of these types is newer than the last event of this type; `first` counts
# when there is neither. With `payload`, only when that is published for the first time; `daily`,
# unless one was written today.
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
    AND NOT (%(daily)s AND EXISTS (SELECT FROM webhook_events WHERE type = %(type)s::text
        AND at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'))
RETURNING 's' || id AS id, type, at, text, facts || jsonb_build_object('entity', entity) AS facts
"""

# Changes that events derive from, of watched leagues: no first load, no replay. `before` of a
# relisted row is what was delisted.
_CHANGES = """
SELECT c.id, c.changed_at, c.entity, c.change,
    coalesce(c.before, (
        SELECT d.before FROM catalog_changes d
        WHERE c.change = 'relisted' AND d.change = 'delisted'
            AND d.entity = c.entity AND d.row_id = c.row_id AND d.id < c.id
        ORDER BY d.id DESC LIMIT 1)) AS before,
    c.after, jsonb_strip_nulls(jsonb_build_object(
        'change_id', c.id, 'payload_id', c.payload_id, 'league', l.name, 'country', n.name,
        'provider_league_id', l.provider_league_id,
        'year', nullif(split_part(c.natural_key, '/', 2), '')::integer)) AS facts
FROM catalog_changes c
JOIN provider_payloads p ON p.id = c.payload_id
JOIN leagues l ON l.provider_league_id = split_part(c.natural_key, '/', 1)::integer
JOIN countries n ON n.id = l.country_id
WHERE c.id > %(cursor)s AND c.entity IN ('leagues', 'seasons', 'season_coverage')
    AND c.change <> 'loaded' AND c.changed_at <= p.first_published_at
    AND (NOT EXISTS (SELECT FROM watched_leagues)
        OR l.provider_league_id IN (SELECT provider_league_id FROM watched_leagues))
ORDER BY c.id LIMIT %(page)s
"""

# State events beyond a cursor.
_EVENTS = """
SELECT 's' || id AS id, type, at, text, facts || jsonb_build_object('entity', entity) AS facts
FROM webhook_events WHERE id > %s ORDER BY webhook_events.id
"""


def writing(
    kind: str,
    text: str,
    entity: str | None,
    facts: Mapping[str, Any],
    *,
    after: Sequence[str] = (),
    first: bool = False,
    payload: int | None = None,
    daily: bool = False,
) -> Query:
    """The statement that writes a state event, as part of the caller's transaction."""
    values = {"type": kind, "text": text, "entity": entity, "facts": json.dumps(facts)}
    conditions = {"after": list(after) or None, "first": first, "payload": payload, "daily": daily}
    return _ADD, {**values, **conditions, "lock": _ORDER_LOCK}


def add(connection: Connection, query: Query) -> list[Event]:
    """Writes an event; returns it unless a condition has kept it out."""
    with connection.cursor(row_factory=class_row(Event)) as rows:
        return rows.execute(*query).fetchall()


def of_success(key: SyncKey, *, payload: int | None = None, quarantined: int = 0) -> list[Query]:
    """Part of the transaction that accepts a response: ends what was reported as failing or stale,
    and reports what was left out. A full sync makes up for a partial one that failed before it; the
    replay of `payload` reports nothing.
    """
    label = key.entity.label
    states = {key.state, SyncKey(key.entity, full=False).state} if key.full else {key.state}
    failed, stale = (events.FAILED, events.REJECTED), (events.STALE,)
    text = f"the sync of {label} succeeds again"
    found = [
        writing(events.RECOVERED, text, state, {}, after=failed, payload=payload)
        for state in sorted(states)
    ]
    if key.full:
        text = f"the catalog's {label} are fresh again"
        found.append(writing(events.FRESH, text, key.state, {}, after=stale, payload=payload))
    if quarantined:
        text = f"{quarantined} items of payload {payload} were quarantined"
        facts = {"payload_id": payload, "items": quarantined}
        found.append(writing(events.QUARANTINED, text, key.state, facts, payload=payload))
    return found


def feed_head(connection: Connection) -> int:
    """The newest id of the feed."""
    row = connection.execute("SELECT coalesce(max(id), 0) FROM catalog_changes").fetchone()
    return int(row[0]) if row else 0


def changes_after(connection: Connection, cursor: int) -> Iterator[Change]:
    """Changes of the feed that events may derive from, oldest first. No statement is open between
    two pages, while a receiver takes its time.
    """
    with connection.cursor(row_factory=class_row(Change)) as rows:
        while page := rows.execute(_CHANGES, {"cursor": cursor, "page": PAGE}).fetchall():
            yield from page
            cursor = page[-1].id


def events_after(connection: Connection, cursor: int) -> list[Event]:
    """State events, oldest first."""
    with connection.cursor(row_factory=class_row(Event)) as rows:
        return rows.execute(_EVENTS, (cursor,)).fetchall()
