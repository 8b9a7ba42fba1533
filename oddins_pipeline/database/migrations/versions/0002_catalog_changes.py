"""The change feed."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE catalog_changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        payload_id bigint NOT NULL REFERENCES provider_payloads (id),
        changed_at timestamptz NOT NULL DEFAULT now(),
        entity text NOT NULL,
        row_id bigint,
        natural_key text,
        change text NOT NULL
            CHECK (change IN ('loaded', 'added', 'changed', 'delisted', 'relisted')),
        before jsonb,
        after jsonb
    );
    CREATE INDEX catalog_changes_changed_at ON catalog_changes (changed_at);
    CREATE INDEX catalog_changes_natural_key ON catalog_changes (natural_key text_pattern_ops);
    """)
