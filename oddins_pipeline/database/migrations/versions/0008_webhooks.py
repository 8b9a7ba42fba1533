"""Watched leagues, webhook receivers, the outbox of state events, and first publications."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE watched_leagues (
    provider_league_id integer PRIMARY KEY,
    note text,
    watched_since timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE webhook_receivers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT webhook_receivers_name_key UNIQUE,
    url text,
    secret text,
    cursor bigint NOT NULL,
    events_cursor bigint NOT NULL,
    delivered_at timestamptz,
    failing_since timestamptz,
    next_attempt_at timestamptz,
    suspended_at timestamptz,
    last_error text
);
-- Addresses and secrets: not even where default privileges open every new table.
REVOKE ALL ON webhook_receivers FROM PUBLIC;
CREATE TABLE webhook_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    type text NOT NULL,
    entity text,
    text text NOT NULL,
    facts jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX webhook_events_type ON webhook_events (type, entity, id);
"""

# Replays of earlier versions count as publications: receivers begin after them.
FIRST_PUBLISHED = """
ALTER TABLE provider_payloads ADD COLUMN first_published_at timestamptz;
UPDATE provider_payloads SET first_published_at = published_at WHERE published_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(FIRST_PUBLISHED)
