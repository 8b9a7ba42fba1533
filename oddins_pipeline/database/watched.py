"""`watched_leagues`: the leagues whose changes become events."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from psycopg.rows import class_row, dict_row

from oddins_pipeline.catalog.league_names import KnownLeague
from oddins_pipeline.database.connection import Connection

# Every league of the catalog.
_LEAGUES = """
SELECT l.provider_league_id AS id, l.name, l.slug, n.name AS country
FROM leagues l JOIN countries n ON n.id = l.country_id ORDER BY l.provider_league_id
"""

# A watched league keeps its first `watched_since`, and its note unless there is a new one.
_WATCH = """
INSERT INTO watched_leagues AS w (provider_league_id, note) SELECT unnest(%s::integer[]), %s
ON CONFLICT (provider_league_id) DO UPDATE SET note = coalesce(EXCLUDED.note, w.note)
"""

_UNWATCH = """
DELETE FROM watched_leagues WHERE provider_league_id = ANY(%s) RETURNING provider_league_id
"""

# Watched leagues; the name is null while the catalog has no such league.
_WATCHED = """
SELECT w.provider_league_id, l.name AS league, n.name AS country, w.note, w.watched_since
FROM watched_leagues w
LEFT JOIN leagues l USING (provider_league_id) LEFT JOIN countries n ON n.id = l.country_id
ORDER BY w.provider_league_id
"""


def leagues(connection: Connection) -> list[KnownLeague]:
    """The leagues that may be watched."""
    with connection.cursor(row_factory=class_row(KnownLeague)) as rows:
        return rows.execute(_LEAGUES).fetchall()


def watch(connection: Connection, ids: Collection[int], note: str | None) -> None:
    """Watches leagues, those that are watched already too."""
    connection.execute(_WATCH, (list(dict.fromkeys(ids)), note))


def unwatch(connection: Connection, ids: Collection[int]) -> set[int]:
    """Stops watching; returns those that were watched."""
    return {number for (number,) in connection.execute(_UNWATCH, (list(ids),))}


def watched(connection: Connection) -> list[dict[str, Any]]:
    """The watched leagues with their names."""
    with connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(_WATCHED).fetchall()
