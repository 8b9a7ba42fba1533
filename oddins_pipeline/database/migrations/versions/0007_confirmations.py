"""When a response was last confirmed, the kind of a refusal, and rollovers without renumberings."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE provider_sync_state ADD COLUMN last_success_at timestamptz;
UPDATE provider_sync_state SET last_success_at = last_synced_at;
ALTER TABLE provider_payloads ADD COLUMN refusal_code text;
UPDATE provider_payloads SET refusal_code = CASE
    WHEN refusal LIKE '%no usable%' THEN 'empty'
    WHEN refusal LIKE '%malformed%' THEN 'quarantine'
    ELSE 'shrunken' END
WHERE refusal IS NOT NULL;
"""

SEASON_ROLLOVERS = """
CREATE OR REPLACE VIEW season_rollovers AS
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
WHERE c.entity = 'seasons' AND c.after @> '{"is_current": true}'
  AND NOT (c.change = 'changed' AND c.after ? 'year');
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(SEASON_ROLLOVERS)
