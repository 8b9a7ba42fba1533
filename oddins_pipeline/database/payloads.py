"""Raw provider responses and their publication status."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from oddins_pipeline.catalog.entities import LEAGUES, Entity, SyncKey
from oddins_pipeline.catalog.requests import Params
from oddins_pipeline.catalog.response import Entry, RawResponse, entries_of, parse_body
from oddins_pipeline.database import events, lock
from oddins_pipeline.database.connection import Connection, execute_batch, scalar
from oddins_pipeline.errors import (
    FORCEABLE,
    NothingToPublishError,
    ResponseRejectedError,
    SourceMismatchError,
)


@dataclass(frozen=True)
class Payload:
    """An archived response and its parsed `entries`, which validation consumes.

    `unchanged` when the tables show its content already.
    """

    id: int
    entity: Entity
    source_id: int
    sha256: str
    results: int
    params: Params
    bytes: int
    entries: list[Entry] = field(default_factory=list, compare=False, repr=False)
    unchanged: bool = False

    @property
    def key(self) -> SyncKey:
        """Which sync state it belongs to: a request without parameters asks for the whole list."""
        return SyncKey(self.entity, full=not self.params)

    @property
    def full(self) -> bool:
        """Whether it is the whole list."""
        return self.key.full

    @property
    def season(self) -> int | None:
        """The year, when it is all of one season and nothing else."""
        return int(self.params["season"]) if self.params.keys() == {"season"} else None


# The source's id, and another source that has published into this database: then nothing is
# written. The address is updated when it has changed. What failed before the first response, when
# its source was not known yet, becomes the source's.
_ENSURE_SOURCE = """
WITH other AS (
    SELECT s.name FROM provider_payloads p JOIN provider_sources s ON s.id = p.source_id
    WHERE p.published_at IS NOT NULL AND s.name <> %(name)s LIMIT 1),
known AS (SELECT id FROM provider_sources WHERE name = %(name)s),
made AS (
    INSERT INTO provider_sources (name, base_url) SELECT %(name)s, %(base_url)s
    WHERE NOT EXISTS (SELECT FROM known) AND NOT EXISTS (SELECT FROM other) RETURNING id),
moved AS (
    UPDATE provider_sources SET base_url = %(base_url)s
    WHERE name = %(name)s AND base_url <> %(base_url)s AND NOT EXISTS (SELECT FROM other)),
ours AS (SELECT id FROM known UNION ALL SELECT id FROM made),
adopted AS (
    UPDATE provider_sync_state s SET source_id = ours.id FROM ours
    WHERE s.source_id <> ours.id AND NOT EXISTS (SELECT FROM other)
        AND NOT EXISTS (SELECT FROM provider_sync_state o
            WHERE o.source_id = ours.id AND o.entity = s.entity))
SELECT (SELECT id FROM ours), (SELECT name FROM other)
"""

# Archive one response.
_INSERT = """
INSERT INTO provider_payloads
    (source_id, entity, params, fetched_at, last_seen_at, body, bytes, sha256, results, run_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
"""

# The payload that the tables show: the entity's last published one, with its normaliser.
_CURRENT = """
SELECT p.id, p.sha256, p.params, s.cursor ->> 'normaliser'
FROM provider_payloads p
LEFT JOIN provider_sync_state s
    ON s.source_id = p.source_id AND (s.cursor ->> 'payload_id')::bigint = p.id
    AND s.entity = ANY(%s)
WHERE p.source_id = %s AND p.entity = %s AND p.published_at IS NOT NULL
ORDER BY p.id DESC LIMIT 1
"""

# Confirm a payload: an unchanged response was fetched.
_TOUCH = """
WITH seen AS (UPDATE provider_payloads SET last_seen_at = %(at)s WHERE id = %(id)s)
UPDATE provider_sync_state SET last_synced_at = %(at)s, last_success_at = clock_timestamp()
WHERE source_id = %(source)s AND entity = %(state)s
"""

# An archived response with its body, by a condition that follows.
_LOAD = """
SELECT id, source_id, sha256, results, params, body FROM provider_payloads
WHERE entity = %s AND body IS NOT NULL AND """

# Archived responses without their bodies, the newest first.
_ARCHIVED = """
SELECT id, entity, params, fetched_at, last_seen_at, published_at, results, bytes, sha256, refusal,
    refusal_code, run_id, body IS NOT NULL AS has_body
FROM provider_payloads WHERE NOT %s OR refusal IS NOT NULL ORDER BY id DESC LIMIT %s
"""

# What was published after a payload, or confirmed after it was last seen.
_NEWER = """
SELECT max(newer.id) FROM provider_payloads newer JOIN provider_payloads p ON p.id = %s
WHERE newer.entity = p.entity AND newer.published_at IS NOT NULL AND newer.id <> p.id
    AND (newer.id > p.id OR newer.last_seen_at > p.last_seen_at)
"""

# Keep why a response was rejected.
_REFUSE = "UPDATE provider_payloads SET refusal = %s, refusal_code = %s WHERE id = %s"

# Whether a response that this run archived is published.
_HAS_PUBLISHED = """
SELECT EXISTS (SELECT FROM provider_payloads
    WHERE run_id = %s AND entity = %s AND (params = '{}') = %s AND published_at IS NOT NULL)
"""

# Empty old bodies, never that of an entity's newest published full response.
_EMPTY_BODIES = """
UPDATE provider_payloads SET body = NULL WHERE body IS NOT NULL
    AND last_seen_at < now() - make_interval(days => %s)
    AND id NOT IN (SELECT max(id) FROM provider_payloads
        WHERE published_at IS NOT NULL AND params = '{}' GROUP BY entity)
"""

# Delete old request rows and events.
_DELETE_REQUESTS = """
WITH events AS (DELETE FROM webhook_events WHERE at < now() - make_interval(days => %s))
DELETE FROM provider_requests WHERE requested_at < now() - make_interval(days => %s)
"""


def ensure_source(connection: Connection, name: str, base_url: str) -> int:
    """The source's id. Raises SourceMismatchError when another source has filled the catalog.

    The address is information: a changed one is stored, never a reason to refuse.
    """
    row = connection.execute(_ENSURE_SOURCE, {"name": name, "base_url": base_url}).fetchone()
    assert row is not None
    number, other = row
    if other is not None:
        raise source_mismatch(other, name)
    return int(number)


def source_mismatch(stored: str, given: str) -> SourceMismatchError:
    """The error of a database that another source has filled."""
    return SourceMismatchError(
        f"this database was filled by {stored} and this sync's responses come from {given};"
        " use another database for it"
    )


def insert(
    connection: Connection,
    entity: Entity,
    response: RawResponse,
    source_id: int,
    run_id: str | None,
) -> Payload:
    """Archives the response, committed with the caller's transaction or at once."""
    at, body = response.fetched_at, response.body
    values = (source_id, entity.name, json.dumps(response.params), at, at)
    content = (zlib.compress(body, 1), len(body), response.sha256, response.results, run_id)
    number: int = scalar(connection, _INSERT, (*values, *content))
    return _payload(number, entity, source_id, response)


def current_payload(
    connection: Connection, entity: Entity, response: RawResponse, source_id: int
) -> Payload | None:
    """The payload that the tables show, when `response` has the same content: the last one
    published of the entity, with the same parameters and by the same normaliser.
    """
    states = [SyncKey(entity, full=full).state for full in (True, False)]
    row = connection.execute(_CURRENT, (states, source_id, entity.name)).fetchone()
    if row is None or row[1:] != (response.sha256, response.params, str(entity.normaliser)):
        return None
    return replace(_payload(int(row[0]), entity, source_id, response), unchanged=True)


def _payload(number: int, entity: Entity, source_id: int, response: RawResponse) -> Payload:
    return Payload(
        number,
        entity,
        source_id,
        response.sha256,
        response.results,
        response.params,
        len(response.body),
        response.entries,
    )


def touch(connection: Connection, payload: Payload, seen_at: datetime) -> None:
    """Confirms the payload: an unchanged response was fetched at `seen_at`.

    Raises DatabaseError when the lock was lost.
    """
    source, state = payload.source_id, payload.key.state
    values = {"at": seen_at, "id": payload.id, "source": source, "state": state}
    success = events.of_success(payload.key)
    *_, held = execute_batch(connection, (_TOUCH, values), *success, lock.HELD)
    lock.require_held(held)


def record_refusal(connection: Connection, payload: Payload, error: ResponseRejectedError) -> None:
    """Keeps a rejected response with the reason and its kind."""
    connection.execute(_REFUSE, (str(error), error.refusal_code, payload.id))


def newest_published(connection: Connection, entity: Entity) -> Payload:
    """What a run that fetches nothing publishes. Raises NothingToPublishError."""
    found = _load(connection, entity, "published_at IS NOT NULL")
    if found is None:
        raw = "raw_leagues" if entity == LEAGUES else entity.name
        raise NothingToPublishError(
            f"no published response is archived yet: materialize {raw} first"
        )
    return found


def payload_of_run(connection: Connection, entity: Entity, run_id: str) -> Payload | None:
    """The response that a run archived: what its retry from failure publishes.

    None when the run archived nothing. Raises NothingToPublishError when something newer has
    been published or confirmed since.
    """
    found = _load(connection, entity, "run_id = %s", run_id)
    if found is not None:
        _refuse_older(connection, found)
    return found


def newest_full(connection: Connection, entity: Entity, *, also_refused: bool) -> Payload:
    """What --replay publishes; `also_refused` one that --force would have published. Raises
    NothingToPublishError.
    """
    codes = sorted(FORCEABLE) if also_refused else []
    condition = "params = '{}' AND (refusal IS NULL OR refusal_code = ANY(%s))"
    found = _load(connection, entity, condition, codes)
    if found is None:
        raise NothingToPublishError(
            f"no full response is archived yet: run `oddins sync {entity.label}`"
        )
    _refuse_older(connection, found)
    return found


def _load(
    connection: Connection, entity: Entity, condition: str, *values: object
) -> Payload | None:
    statement = f"{_LOAD}{condition} ORDER BY id DESC LIMIT 1"
    row = connection.execute(statement, (entity.name, *values)).fetchone()
    if row is None:
        return None
    number, source_id, sha256, results, params, compressed = row
    body = zlib.decompress(compressed)
    entries = entries_of(parse_body(body), entity.path, params)
    return Payload(number, entity, source_id, sha256, results, params, len(body), entries)


def _refuse_older(connection: Connection, payload: Payload) -> None:
    newer = scalar(connection, _NEWER, (payload.id,))
    if newer is not None:
        raise NothingToPublishError(
            f"payload {payload.id} is not published again: payload {newer} has been published"
            f" or confirmed since; run `oddins sync {payload.entity.label}` for today's response"
        )


def has_published(connection: Connection, run_id: str, key: SyncKey) -> bool:
    """Whether a response that this run archived is published."""
    return bool(scalar(connection, _HAS_PUBLISHED, (run_id, key.entity.name, key.full)))


def archived(connection: Connection, limit: int, *, rejected: bool) -> list[dict[str, Any]]:
    """Archived responses without their bodies, the newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_ARCHIVED, (rejected, limit)).fetchall()


def body_of(connection: Connection, payload_id: int) -> bytes:
    """An archived response byte for byte. Raises NothingToPublishError."""
    statement = "SELECT body FROM provider_payloads WHERE id = %s"
    row: Any = connection.execute(statement, (payload_id,)).fetchone()
    if row is None:
        raise NothingToPublishError(f"no payload {payload_id} is archived")
    if row[0] is None:
        raise NothingToPublishError(f"the body of payload {payload_id} is past its retention")
    return zlib.decompress(row[0])


def prune(connection: Connection, *, bodies_days: int, requests_days: int) -> None:
    """Retention of bodies, request rows and events."""
    old_requests = (_DELETE_REQUESTS, (requests_days, requests_days))
    execute_batch(connection, (_EMPTY_BODIES, (bodies_days,)), old_requests)
