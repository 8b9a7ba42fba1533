"""Sources, archive, catalog, sync state and requests."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE provider_sources (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT provider_sources_name_key UNIQUE,
    base_url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE provider_payloads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id bigint NOT NULL REFERENCES provider_sources (id),
    entity text NOT NULL,
    params jsonb NOT NULL DEFAULT '{}',
    fetched_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    body bytea,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    results integer NOT NULL,
    published_at timestamptz,
    refusal text,
    run_id text
);
ALTER TABLE provider_payloads ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX provider_payloads_published ON provider_payloads (id) WHERE published_at IS NOT NULL;
CREATE INDEX provider_payloads_run_id ON provider_payloads (run_id);

CREATE TABLE countries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT countries_name_key UNIQUE,
    code text,
    flag_url text,
    delisted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE leagues (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    country_id bigint NOT NULL REFERENCES countries (id),
    provider_league_id integer NOT NULL CONSTRAINT leagues_provider_league_id_key UNIQUE,
    name text NOT NULL,
    type text,
    slug text NOT NULL CONSTRAINT leagues_slug_key UNIQUE,
    logo_url text,
    delisted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX leagues_country_id ON leagues (country_id);

CREATE TABLE seasons (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    league_id bigint NOT NULL REFERENCES leagues (id),
    year integer NOT NULL,
    start_date date,
    end_date date,
    is_current boolean NOT NULL,
    delisted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT seasons_league_id_year_key UNIQUE (league_id, year)
);

CREATE TABLE season_coverage (
    season_id bigint PRIMARY KEY REFERENCES seasons (id),
    fixtures boolean,
    fixtures_events boolean,
    fixtures_lineups boolean,
    fixtures_statistics boolean,
    fixtures_player_statistics boolean,
    standings boolean,
    players boolean,
    top_scorers boolean,
    top_assists boolean,
    top_cards boolean,
    injuries boolean,
    predictions boolean,
    odds boolean,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE payload_anomalies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload_id bigint NOT NULL REFERENCES provider_payloads (id),
    kind text NOT NULL,
    detail jsonb NOT NULL
);
CREATE INDEX payload_anomalies_payload_id ON payload_anomalies (payload_id);

CREATE TABLE provider_sync_state (
    source_id bigint NOT NULL REFERENCES provider_sources (id),
    entity text NOT NULL,
    last_synced_at timestamptz,
    cursor jsonb,
    last_error_at timestamptz,
    last_error text CHECK (length(last_error) <= 1000),
    PRIMARY KEY (source_id, entity)
);

CREATE TABLE provider_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    path text NOT NULL,
    params jsonb NOT NULL DEFAULT '{}',
    completed_at timestamptz,
    http_status integer,
    outcome text,
    day_limit integer,
    day_remaining integer,
    minute_limit integer,
    minute_remaining integer,
    run_id text
);
CREATE INDEX provider_requests_requested_at ON provider_requests (requested_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
