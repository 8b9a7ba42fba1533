"""Publishing: one batch, one transaction, four tables, the feed and the sync state."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from oddins_pipeline.catalog.guard import StoredYears
from oddins_pipeline.catalog.normalise import NORMALISER
from oddins_pipeline.catalog.rows import Batch
from oddins_pipeline.catalog.slugs import assign_slugs, base_slug
from oddins_pipeline.database import lock, staging
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.merge import Counts, delist, listed, merge

TABLES = ("countries", "leagues", "seasons", "season_coverage")
FULL = "leagues_seasons"
PARTIAL = "leagues_seasons_partial"

TableCounts = dict[str, Counts]


@dataclass(frozen=True)
class Payload:
    """An archived answer: what publishing needs to know of it."""

    id: int
    source_id: int
    sha256: str
    results: int
    params: dict[str, str]

    @property
    def full(self) -> bool:
        """Whether the whole list was asked for."""
        return not self.params

    @property
    def season(self) -> int | None:
        """The year, when the answer is all of one season and nothing else."""
        return int(self.params["season"]) if self.params.keys() == {"season"} else None

    @property
    def entity(self) -> str:
        """Whose sync state this answer speaks of."""
        return FULL if self.full else PARTIAL


def stored_years(connection: Connection) -> StoredYears:
    """What the guard compares with: the listed leagues and the years of their listed seasons."""
    rows = connection.execute(
        "SELECT l.provider_league_id,"
        " array_agg(s.year) FILTER (WHERE s.id IS NOT NULL AND s.delisted_at IS NULL)"
        " FROM leagues l LEFT JOIN seasons s ON s.league_id = l.id"
        " WHERE l.delisted_at IS NULL GROUP BY l.id"
    )
    return {int(str(league)): years or [] for league, years in rows}  # type: ignore[misc]


def publish(connection: Connection, payload: Payload, batch: Batch) -> TableCounts:
    """Writes the batch; the caller has opened the transaction.

    Only a full answer delists and renames. Raises DatabaseError when the lock was lost.
    """
    feed = _feed_has_begun(connection)
    feed_payload = payload.id if feed else None
    renames = _renames(connection, batch) if payload.full else {}
    staging.stage(connection, batch, renames=renames, slugs=_new_slugs(connection, batch))
    counts = {
        step.table: merge(connection, step, received=len(rows), feed_payload=feed_payload)
        for step, rows in (
            (staging.COUNTRIES, batch.countries),
            (staging.LEAGUES, batch.leagues),
            (staging.SEASONS, batch.seasons),
            (staging.SEASON_COVERAGE, batch.seasons),
        )
    }
    if payload.full and batch.delists:
        _delist(connection, counts, feed_payload)
    if payload.full and not feed:
        _begin_feed(connection, payload.id)
    record_anomalies(connection, payload.id, batch)
    _record_success(connection, payload, counts)
    lock.check_held(connection)
    return counts


def _feed_has_begun(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM catalog_changes WHERE change = 'loaded')"
    ).fetchone()
    return bool(row and row[0])


def _begin_feed(connection: Connection, payload_id: int) -> None:
    connection.execute(
        "INSERT INTO catalog_changes (payload_id, entity, change)"
        " SELECT %s, name, 'loaded' FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, place)"
        " ORDER BY place",
        (payload_id, list(TABLES)),
    )


def _renames(connection: Connection, batch: Batch) -> dict[str, str]:
    """New name → stored name of the countries that this answer renames."""
    stored = {
        str(name): code
        for name, code in connection.execute("SELECT name, code FROM countries").fetchall()
    }
    codes = {row.name: row.code for row in batch.countries}
    absent = [name for name in stored if name not in codes and stored[name] is not None]
    if not absent or all(name in stored for name in codes):
        return {}
    now_in = {row.provider_league_id: row.country_name for row in batch.leagues}
    found: dict[str, str] = {}
    ambiguous: set[str] = set()
    for old, leagues in connection.execute(
        "SELECT c.name, array_agg(l.provider_league_id)"
        " FROM countries c JOIN leagues l ON l.country_id = c.id"
        " WHERE c.name = ANY(%s) GROUP BY c.name ORDER BY c.name",
        (absent,),
    ).fetchall():
        names = {now_in[league] for league in leagues if league in now_in}  # type: ignore[attr-defined]
        if len(names) != 1:
            continue
        new = names.pop()
        if new not in stored and codes[new] == stored[str(old)]:
            if new in found:
                ambiguous.add(new)
            found[new] = str(old)
    return {new: old for new, old in found.items() if new not in ambiguous}


def _new_slugs(connection: Connection, batch: Batch) -> dict[int, str]:
    rows = connection.execute("SELECT provider_league_id FROM leagues").fetchall()
    known = {number for (number,) in rows}
    new = [(row, base_slug(row)) for row in batch.leagues if row.provider_league_id not in known]
    if not new:
        return {}
    taken = connection.execute("SELECT slug FROM leagues").fetchall()
    return assign_slugs(new, {str(slug) for (slug,) in taken})


def _delist(connection: Connection, counts: TableCounts, feed_payload: int | None) -> None:
    """Delists what the answer no longer has, and adds that to `counts`.

    Every staged row is listed by now: only when more are listed can one of them be gone, and
    counting is cheaper than looking for it. A country goes when its last league has gone.
    """
    for step in (staging.LEAGUES, staging.SEASONS, staging.COUNTRIES):
        count = counts[step.table]
        if step is staging.COUNTRIES or listed(connection, step) > count.received:
            gone = delist(connection, step, feed_payload=feed_payload)
            counts[step.table] = replace(count, delisted=gone)


def record_anomalies(connection: Connection, payload_id: int, batch: Batch) -> None:
    """Keeps what was odd in the answer, in place of what an earlier judgement kept."""
    connection.execute("DELETE FROM payload_anomalies WHERE payload_id = %s", (payload_id,))
    connection.execute(
        "INSERT INTO payload_anomalies (payload_id, kind, detail)"
        " SELECT %s, kind, detail::jsonb FROM unnest(%s::text[], %s::text[])"
        " WITH ORDINALITY AS found (kind, detail, place) ORDER BY place",
        (
            payload_id,
            [anomaly.kind for anomaly in batch.anomalies],
            [json.dumps(anomaly.detail) for anomaly in batch.anomalies],
        ),
    )


def _record_success(connection: Connection, payload: Payload, counts: TableCounts) -> None:
    cursor = {
        "payload_id": payload.id,
        "sha256": payload.sha256,
        "normaliser": NORMALISER,
        "counts": {table: asdict(count) for table, count in counts.items()},
    }
    # An answer that was published before is no news of the provider: the catalog stays as stale,
    # and the last attempt to ask as failed, as they were.
    connection.execute(
        "INSERT INTO provider_sync_state AS s (source_id, entity, last_synced_at, cursor)"
        " VALUES (%s, %s, now(), %s) ON CONFLICT (source_id, entity) DO UPDATE"
        " SET cursor = EXCLUDED.cursor, last_synced_at = CASE WHEN EXISTS ("
        "   SELECT FROM provider_payloads WHERE id = %s AND published_at IS NOT NULL)"
        "  THEN s.last_synced_at ELSE EXCLUDED.last_synced_at END",
        (payload.source_id, payload.entity, json.dumps(cursor), payload.id),
    )
    connection.execute(
        "UPDATE provider_payloads SET published_at = now(), refusal = NULL WHERE id = %s",
        (payload.id,),
    )
