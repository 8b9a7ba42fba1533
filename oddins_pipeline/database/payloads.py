"""The archive of answers: bytes as received, and what became of them."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import datetime

from oddins_pipeline.catalog.normalise import NORMALISER
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.publish import FULL, Payload
from oddins_pipeline.errors import NothingToPublishError, SourceMismatchError

Params = dict[str, str]
"""LeagueFilter parameters of the request; empty for a full answer."""


@dataclass(frozen=True)
class RawResponse:
    """An answer as it came: `body` is the content, decompressed, byte for byte."""

    body: bytes
    params: Params
    fetched_at: datetime
    sha256: str
    results: int


def ensure_source(connection: Connection, name: str, base_url: str) -> int:
    """The source's id. Raises SourceMismatchError when another source has filled the catalog.

    The address is information: a changed one is noted, never a reason to refuse.
    """
    other = connection.execute(
        "SELECT s.name FROM provider_payloads p JOIN provider_sources s ON s.id = p.source_id"
        " WHERE p.published_at IS NOT NULL AND s.name <> %s LIMIT 1",
        (name,),
    ).fetchone()
    if other:
        raise SourceMismatchError(
            f"this database was filled by {other[0]} and the answer comes from {name};"
            " use another database for it"
        )
    found = connection.execute(
        "SELECT id, base_url FROM provider_sources WHERE name = %s", (name,)
    ).fetchone()
    if found is None:
        found = connection.execute(
            "INSERT INTO provider_sources (name, base_url) VALUES (%s, %s) RETURNING id, base_url",
            (name, base_url),
        ).fetchone()
    assert found is not None
    if found[1] != base_url:
        connection.execute(
            "UPDATE provider_sources SET base_url = %s WHERE id = %s", (base_url, found[0])
        )
    return int(str(found[0]))


def insert(
    connection: Connection,
    answer: RawResponse,
    *,
    source_id: int,
    run_id: str | None,
    entity: str = FULL,
) -> Payload:
    """Stores the answer, committed with the caller's transaction or at once."""
    row = connection.execute(
        "INSERT INTO provider_payloads (source_id, entity, params, fetched_at, last_seen_at,"
        " body, bytes, sha256, results, run_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        (
            source_id,
            entity,
            json.dumps(answer.params),
            answer.fetched_at,
            answer.fetched_at,
            zlib.compress(answer.body, 1),
            len(answer.body),
            answer.sha256,
            answer.results,
            run_id,
        ),
    ).fetchone()
    assert row is not None
    return Payload(int(str(row[0])), source_id, answer.sha256, answer.results, answer.params)


def current_payload(connection: Connection, answer: RawResponse, source_id: int) -> Payload | None:
    """The payload that the tables show, if `answer` says the same: see DESIGN, "When an answer
    is not published again".
    """
    row = connection.execute(
        "SELECT p.id, p.sha256, p.params, p.results, s.cursor ->> 'normaliser'"
        " FROM provider_payloads p"
        " LEFT JOIN provider_sync_state s ON s.source_id = p.source_id"
        "   AND (s.cursor ->> 'payload_id')::bigint = p.id"
        " WHERE p.source_id = %s AND p.entity = %s AND p.published_at IS NOT NULL"
        " ORDER BY p.id DESC LIMIT 1",
        (source_id, FULL),
    ).fetchone()
    if row is None:
        return None
    number, sha256, params, results, normaliser = row
    same = sha256 == answer.sha256 and params == answer.params and normaliser == str(NORMALISER)
    if not same:
        return None
    return Payload(int(str(number)), source_id, answer.sha256, int(str(results)), answer.params)


def touch(connection: Connection, payload: Payload, seen_at: datetime) -> None:
    """The two stamps of an answer that is not published again."""
    connection.execute(
        "WITH seen AS (UPDATE provider_payloads SET last_seen_at = %s WHERE id = %s)"
        " UPDATE provider_sync_state SET last_synced_at = now()"
        " WHERE source_id = %s AND entity = %s",
        (seen_at, payload.id, payload.source_id, payload.entity),
    )


def record_refusal(connection: Connection, payload: Payload, reason: str) -> None:
    """Keeps a refused answer with its reason."""
    connection.execute(
        "UPDATE provider_payloads SET refusal = %s WHERE id = %s", (reason, payload.id)
    )


_LOAD = (
    "SELECT id, source_id, sha256, results, params, body FROM provider_payloads"
    " WHERE entity = %s AND body IS NOT NULL AND "
)


def newest_published(connection: Connection) -> tuple[Payload, bytes]:
    """What a run without `raw_leagues` publishes. Raises NothingToPublishError."""
    row = connection.execute(
        _LOAD + "published_at IS NOT NULL ORDER BY id DESC LIMIT 1", (FULL,)
    ).fetchone()
    if row is None:
        raise NothingToPublishError(
            "no published answer is archived yet: materialize raw_leagues first"
        )
    return _loaded(row)


def payload_of_run(connection: Connection, run_id: str) -> tuple[Payload, bytes] | None:
    """The answer that a run archived: what its retry from failure publishes.

    None when the run archived nothing. Raises NothingToPublishError when something newer has
    been published since.
    """
    row = connection.execute(
        _LOAD + "run_id = %s ORDER BY id DESC LIMIT 1", (FULL, run_id)
    ).fetchone()
    if row is None:
        return None
    _refuse_older(connection, int(str(row[0])))
    return _loaded(row)


def has_published(connection: Connection, run_id: str) -> bool:
    """Whether an answer that this run archived is published."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM provider_payloads"
        " WHERE run_id = %s AND published_at IS NOT NULL)",
        (run_id,),
    ).fetchone()
    return bool(row and row[0])


def newest_full(connection: Connection, *, also_refused: bool) -> tuple[Payload, bytes]:
    """What --replay publishes. Raises NothingToPublishError."""
    refused = "" if also_refused else " AND refusal IS NULL"
    row = connection.execute(
        _LOAD + f"params = '{{}}'{refused} ORDER BY id DESC LIMIT 1", (FULL,)
    ).fetchone()
    if row is None:
        raise NothingToPublishError("no full answer is archived yet: run `oddins sync leagues`")
    _refuse_older(connection, int(str(row[0])))
    return _loaded(row)


def _refuse_older(connection: Connection, payload_id: int) -> None:
    newer = connection.execute(
        "SELECT max(id) FROM provider_payloads"
        " WHERE entity = %s AND published_at IS NOT NULL AND id > %s",
        (FULL, payload_id),
    ).fetchone()
    if newer and newer[0] is not None:
        raise NothingToPublishError(
            f"payload {payload_id} is not published again: the newer payload {newer[0]} has been"
            " published since; run `oddins sync leagues` for today's answer"
        )


def _loaded(row: tuple[object, ...]) -> tuple[Payload, bytes]:
    number, source_id, sha256, results, params, body = row
    asked: Params = dict(params)  # type: ignore[call-overload]
    payload = Payload(int(str(number)), int(str(source_id)), str(sha256), int(str(results)), asked)
    return payload, zlib.decompress(bytes(body))  # type: ignore[call-overload]


def body_of(connection: Connection, payload_id: int) -> bytes:
    """An archived answer byte for byte. Raises NothingToPublishError."""
    row = connection.execute(
        "SELECT body FROM provider_payloads WHERE id = %s", (payload_id,)
    ).fetchone()
    if row is None:
        raise NothingToPublishError(f"no payload {payload_id} is archived")
    if row[0] is None:
        raise NothingToPublishError(f"the body of payload {payload_id} is past its retention")
    return zlib.decompress(bytes(row[0]))  # type: ignore[call-overload]


def prune(connection: Connection, *, bodies_days: int, requests_days: int) -> None:
    """Retention: empties old bodies, but never the newest published full one, and drops old
    requests.
    """
    connection.execute(
        "UPDATE provider_payloads SET body = NULL WHERE body IS NOT NULL"
        " AND last_seen_at < now() - make_interval(days => %s)"
        " AND id NOT IN (SELECT max(id) FROM provider_payloads"
        " WHERE published_at IS NOT NULL AND params = '{}' GROUP BY entity)",
        (bodies_days,),
    )
    connection.execute(
        "DELETE FROM provider_requests WHERE requested_at < now() - make_interval(days => %s)",
        (requests_days,),
    )
