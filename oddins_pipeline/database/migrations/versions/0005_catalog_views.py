"""Views over the feed and the seasons, and the indexes that they and `oddins changes` need."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = """
-- The newest changes, all of them or one table's; both follow the order of publication.
DROP INDEX catalog_changes_changed_at;
CREATE INDEX catalog_changes_changed_at ON catalog_changes (changed_at, id);
CREATE INDEX catalog_changes_entity ON catalog_changes (entity, changed_at, id);
-- The changes of one row.
CREATE INDEX catalog_changes_row_id ON catalog_changes (entity, row_id);
CREATE INDEX seasons_current ON seasons (league_id) WHERE is_current;
"""

COVERAGE_SWITCHES = """
CREATE VIEW coverage_switches AS
SELECT c.id AS change_id, c.changed_at, l.provider_league_id, l.name AS league,
       n.name AS country, s.year, s.id AS season_id, f.flag,
       (c.before ->> f.flag)::boolean AS was_on, (c.after ->> f.flag)::boolean AS is_on
FROM catalog_changes c
CROSS JOIN LATERAL jsonb_object_keys(c.after) AS f (flag)
JOIN seasons s ON s.id = c.row_id
JOIN leagues l ON l.id = s.league_id
JOIN countries n ON n.id = l.country_id
WHERE c.entity = 'season_coverage' AND c.change = 'changed';
"""

SEASON_ROLLOVERS = """
CREATE VIEW season_rollovers AS
SELECT c.id AS change_id, c.changed_at, l.provider_league_id, l.name AS league,
       n.name AS country, s.year, s.id AS season_id, s.start_date, s.end_date,
       (SELECT max(o.year) FROM seasons o
        JOIN catalog_changes p ON p.entity = 'seasons' AND p.row_id = o.id
        WHERE o.league_id = s.league_id AND p.payload_id = c.payload_id
          AND p.before @> '{"is_current": true}') AS previous_year
FROM catalog_changes c
JOIN seasons s ON s.id = c.row_id
JOIN leagues l ON l.id = s.league_id
JOIN countries n ON n.id = l.country_id
WHERE c.entity = 'seasons' AND c.after @> '{"is_current": true}';
"""

LEAGUE_RENAMES = """
CREATE VIEW league_renames AS
SELECT c.id AS change_id, c.changed_at, l.provider_league_id, l.id AS league_id,
       n.name AS country, c.before ->> 'name' AS old_name, c.after ->> 'name' AS new_name, l.slug
FROM catalog_changes c
JOIN leagues l ON l.id = c.row_id
JOIN countries n ON n.id = l.country_id
WHERE c.entity = 'leagues' AND c.change = 'changed' AND c.after ? 'name';
"""

# With an unknown date the comparison is null, and so is `is_played_today`, unless the other
# date decides: a season that has ended is not played, whenever it began.
SEASON_ACTIVITY = """
CREATE VIEW season_activity AS
SELECT s.id AS season_id, l.provider_league_id, l.name AS league, n.name AS country, s.year,
       s.start_date, s.end_date, s.is_current,
       s.start_date <= t.today AND s.end_date >= t.today AS is_played_today,
       CASE WHEN s.end_date < t.today THEN 'over'
            WHEN s.start_date > t.today THEN 'ahead'
            WHEN s.start_date <= t.today AND s.end_date >= t.today THEN 'played'
            ELSE 'unknown' END AS activity
FROM seasons s
JOIN leagues l ON l.id = s.league_id
JOIN countries n ON n.id = l.country_id
CROSS JOIN (SELECT (now() AT TIME ZONE 'UTC')::date AS today) t
WHERE s.delisted_at IS NULL;
"""


def upgrade() -> None:
    for statements in (
        INDEXES,
        COVERAGE_SWITCHES,
        SEASON_ROLLOVERS,
        LEAGUE_RENAMES,
        SEASON_ACTIVITY,
    ):
        op.execute(statements)
