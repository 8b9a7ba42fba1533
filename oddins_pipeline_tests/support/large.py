"""A large catalog with a long feed, made inside PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg

_STATEMENTS = """
INSERT INTO provider_sources (name, base_url) VALUES ('api-football', 'https://example.test');
INSERT INTO provider_payloads
    (source_id, entity, fetched_at, last_seen_at, bytes, sha256, results, published_at)
SELECT s.id, 'leagues_seasons', t, t, 0, '', 0, t
FROM provider_sources s, generate_series(
    now() - make_interval(days => {days}), now(), interval '1 day') t ORDER BY t;
INSERT INTO countries (name, code) SELECT 'Country ' || n, 'XX' FROM generate_series(1, 172) n;
INSERT INTO leagues (country_id, provider_league_id, name, type, slug)
SELECT 1 + n % 172, n, 'League ' || n, 'League', 'league-' || n
FROM generate_series(1, {leagues}) n;
INSERT INTO seasons (league_id, year, start_date, end_date, is_current)
SELECT l.id, extract(year FROM now()) - y, d, d + 300, y = 0
FROM leagues l, generate_series(0, {years} - 1) y,
     LATERAL (
         SELECT (now() - make_interval(years => y, days => (l.id % 700)::integer))::date) t (d);
INSERT INTO season_coverage (season_id, odds) SELECT id, false FROM seasons;
INSERT INTO catalog_changes
    (payload_id, changed_at, entity, row_id, natural_key, change, before, after)
SELECT p.id, p.published_at, k.entity,
       CASE k.entity WHEN 'leagues' THEN l.id ELSE s.id END,
       l.provider_league_id || CASE k.entity WHEN 'leagues' THEN '' ELSE '/' || s.year END,
       'changed', k.before, k.after
FROM generate_series(1, {changes}) i
JOIN provider_payloads p ON p.id = 1 + i::bigint * {days} / {changes}
JOIN seasons s ON s.id = 1 + i::bigint * 7919 % ({leagues} * {years})
JOIN leagues l ON l.id = s.league_id
JOIN LATERAL (
    SELECT * FROM (VALUES
        (0, 'leagues', '{{"name": "Old"}}'::jsonb, '{{"name": "New"}}'::jsonb),
        (1, 'seasons', '{{"is_current": false}}', '{{"is_current": true}}'),
        (2, 'season_coverage', '{{"odds": false}}', '{{"odds": true}}')) v
    WHERE column1 = CASE WHEN i % 20 = 0 THEN 0 WHEN i % 5 = 0 THEN 1 ELSE 2 END)
    k (kind, entity, before, after) ON true
ORDER BY i;
ANALYZE countries, leagues, seasons, season_coverage, catalog_changes, provider_payloads;
"""


def fill(
    connection: psycopg.Connection[Any], *, leagues: int, years: int, days: int, changes: int
) -> None:
    """`leagues` with `years` seasons each, and `changes` over `days` daily responses."""
    statements = _STATEMENTS.format(leagues=leagues, years=years, days=days, changes=changes)
    connection.execute(statements)
