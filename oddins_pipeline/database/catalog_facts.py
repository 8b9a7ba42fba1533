"""What the asset checks read: one set-based query over the published catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg import sql
from psycopg.rows import class_row

from oddins_pipeline.catalog.entities import LEAGUES, Entity
from oddins_pipeline.database.connection import Connection, database_errors


@dataclass(frozen=True)
class ListFacts:
    """`gained` and `lost` are listed rows by table, in the latest publication; `at` is the server's
    time.
    """

    listed: dict[str, int]
    gained: dict[str, int]
    lost: dict[str, int]
    last_synced_at: datetime | None
    stale_after: timedelta
    at: datetime = field(compare=False)


@dataclass(frozen=True)
class CatalogFacts(ListFacts):
    """Counts are of rows; lists name at most `MAX_NAMED` of them as `39 Premier League (England)`.

    `anomalies` is kind → count in the newest published response.
    """

    seasons_without_coverage: int
    seasons_of_delisted_leagues: int
    leagues_of_delisted_countries: int
    several_current: list[str]
    implausible: list[str]
    anomalies: dict[str, int]


MAX_NAMED = 20
FIRST_YEAR = 1990
"""The provider's first season is of 2008; an earlier year is an error."""

_FACTS = f"""
WITH newest AS (
    SELECT id, published_at FROM provider_payloads
    WHERE published_at IS NOT NULL AND entity = %(entity)s ORDER BY id DESC LIMIT 1),
moved AS (
    SELECT entity, count(*) FILTER (WHERE change IN ('added', 'relisted')) AS gained,
           count(*) FILTER (WHERE change = 'delisted') AS lost
    FROM catalog_changes
    WHERE changed_at = (SELECT published_at FROM newest) AND entity IN ('leagues', 'seasons')
    GROUP BY entity),
several AS (
    SELECT league_id FROM seasons WHERE is_current AND delisted_at IS NULL
    GROUP BY league_id HAVING count(*) > 1),
implausible AS (
    SELECT league_id, year FROM seasons
    WHERE delisted_at IS NULL AND (
        year NOT BETWEEN {FIRST_YEAR} AND extract(year FROM now()) + 3
        OR abs(extract(year FROM start_date) - year) > 3 OR end_date < start_date))
SELECT
    (SELECT count(*) FROM seasons s
     WHERE NOT EXISTS (SELECT FROM season_coverage c WHERE c.season_id = s.id)
    ) AS seasons_without_coverage,
    (SELECT count(*) FROM seasons s JOIN leagues l ON l.id = s.league_id
     WHERE s.delisted_at IS NULL AND l.delisted_at IS NOT NULL) AS seasons_of_delisted_leagues,
    (SELECT count(*) FROM leagues l JOIN countries n ON n.id = l.country_id
     WHERE l.delisted_at IS NULL AND n.delisted_at IS NOT NULL) AS leagues_of_delisted_countries,
    ARRAY(SELECT format('%%s %%s (%%s)', l.provider_league_id, l.name, n.name)
     FROM several JOIN leagues l ON l.id = league_id JOIN countries n ON n.id = l.country_id
     ORDER BY l.provider_league_id LIMIT {MAX_NAMED}) AS several_current,
    ARRAY(SELECT format('%%s/%%s %%s', l.provider_league_id, year, l.name)
     FROM implausible JOIN leagues l ON l.id = league_id
     ORDER BY l.provider_league_id, year LIMIT {MAX_NAMED}) AS implausible,
    json_build_object(
        'leagues', (SELECT count(*) FROM leagues WHERE delisted_at IS NULL),
        'seasons', (SELECT count(*) FROM seasons WHERE delisted_at IS NULL)) AS listed,
    (SELECT coalesce(json_object_agg(entity, gained), '{{}}') FROM moved) AS gained,
    (SELECT coalesce(json_object_agg(entity, lost), '{{}}') FROM moved) AS lost,
    (SELECT coalesce(json_object_agg(kind, n), '{{}}') FROM (
        SELECT kind, count(*) AS n FROM payload_anomalies
        WHERE payload_id = (SELECT id FROM newest) GROUP BY kind) AS k) AS anomalies,
    (SELECT max(last_synced_at) FROM provider_sync_state WHERE entity = %(entity)s)
        AS last_synced_at,
    %(stale_after)s::interval AS stale_after, clock_timestamp() AS at
"""  # noqa: S608 - constants of this module


# The same of a reference list.
_LIST_FACTS = """
WITH newest AS (
    SELECT published_at FROM provider_payloads
    WHERE published_at IS NOT NULL AND entity = %(entity)s ORDER BY id DESC LIMIT 1),
moved AS (
    SELECT count(*) FILTER (WHERE change IN ('added', 'relisted')) AS gained,
        count(*) FILTER (WHERE change = 'delisted') AS lost
    FROM catalog_changes
    WHERE changed_at = (SELECT published_at FROM newest) AND entity = %(entity)s)
SELECT json_build_object(%(entity)s::text, (SELECT count(*) FROM {} WHERE delisted_at IS NULL))
        AS listed,
    json_build_object(%(entity)s::text, moved.gained) AS gained,
    json_build_object(%(entity)s::text, moved.lost) AS lost,
    (SELECT max(last_synced_at) FROM provider_sync_state WHERE entity = %(entity)s)
        AS last_synced_at,
    %(stale_after)s::interval AS stale_after, clock_timestamp() AS at
FROM moved
"""


def load_facts(connection: Connection, entity: Entity, *, stale_after: timedelta) -> ListFacts:
    """What there is to check of an entity: CatalogFacts of the leagues. Raises DatabaseError."""
    values = {"entity": entity.name, "stale_after": stale_after}
    kind: type[ListFacts] = CatalogFacts
    query: sql.SQL | sql.Composed = sql.SQL(_FACTS)
    if entity != LEAGUES:
        kind, query = ListFacts, sql.SQL(_LIST_FACTS).format(sql.Identifier(entity.name))
    with database_errors(), connection.cursor(row_factory=class_row(kind)) as cursor:
        found = cursor.execute(query, values).fetchone()
    assert found is not None
    return found
