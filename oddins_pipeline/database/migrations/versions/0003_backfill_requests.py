"""The queue of backfills: an INSERT of a season alone suffices."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE backfill_requests (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        season integer NOT NULL CHECK (season BETWEEN 1900 AND 2100),
        requested_at timestamptz NOT NULL DEFAULT now(),
        requested_by text NOT NULL DEFAULT session_user,
        status text NOT NULL DEFAULT 'requested'
            CHECK (status IN ('requested', 'running', 'done', 'failed')),
        attempts integer NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 5),
        next_attempt_at timestamptz NOT NULL DEFAULT now(),
        run_id text,
        error text CHECK (length(error) <= 1000)
    );
    CREATE UNIQUE INDEX backfill_requests_one_open ON backfill_requests (season)
        WHERE status IN ('requested', 'running');
    """)
