"""`watched_leagues`: the leagues whose changes become events."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from psycopg.rows import dict_row

from oddins_pipeline.database.connection import Connection

# Every league of the catalog.
_LEAGUES = """
SELECT l.provider_league_id, l.name, l.slug, n.name
FROM leagues l JOIN countries n ON n.id = l.country_id ORDER BY l.provider_league_id
"""

# A watched league keeps its first `watched_since`, and its note unless there is a new one.
_WATCH = """
INSERT INTO watched_leagues AS w (provider_league_id, note)
SELECT DISTINCT unnest(%s::integer[]), %s
ON CONFLICT (provider_league_id) DO UPDATE SET note = coalesce(EXCLUDED.note, w.note)
"""

# Ids are compared as text: whatever is given, none is out of range.
_UNWATCH = """
DELETE FROM watched_leagues WHERE provider_league_id::text = ANY(%s)
RETURNING provider_league_id::text
"""

# Watched leagues; the name is null while the catalog has no such league.
_WATCHED = """
SELECT w.provider_league_id, l.name AS league, n.name AS country, w.note, w.watched_since
FROM watched_leagues w
LEFT JOIN leagues l USING (provider_league_id) LEFT JOIN countries n ON n.id = l.country_id
ORDER BY w.provider_league_id
"""


def leagues(connection: Connection) -> list[Any]:
    """(id, name, slug, country) of the leagues that may be watched."""
    return connection.execute(_LEAGUES).fetchall()


def watch(connection: Connection, ids: Collection[int], note: str | None) -> None:
    """Watches leagues, those that are watched already too."""
    connection.execute(_WATCH, (list(ids), note))


def unwatch(connection: Connection, ids: Collection[str]) -> set[str]:
    """Stops watching; returns those that were watched."""
    return {text for (text,) in connection.execute(_UNWATCH, (list(ids),))}


def watched(connection: Connection) -> list[dict[str, Any]]:
    """The watched leagues with their names."""
    with connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(_WATCHED).fetchall()
