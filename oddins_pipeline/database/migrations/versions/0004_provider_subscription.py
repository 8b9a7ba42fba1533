"""When the subscription ends, as last reported by the provider: one row."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE provider_subscription (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        plan text,
        ends_at timestamptz,
        active boolean NOT NULL
    );
    """)
