"""Reference lists: bookmakers and bets."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE {name} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_{singular}_id integer NOT NULL
        CONSTRAINT {name}_provider_{singular}_id_key UNIQUE,
    name text,
    delisted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
"""


def upgrade() -> None:
    for name, singular in (("bookmakers", "bookmaker"), ("bets", "bet")):
        op.execute(TABLE.format(name=name, singular=singular))
