"""`webhook_receivers`: where events go, and how far each receiver has got. Addresses and signing
secrets are registered for redaction as soon as they are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import class_row

from oddins_pipeline.database.connection import Connection
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.logs import register_secrets
from oddins_pipeline.urls import secrets_in

DEFAULT = "ODDINS_WEBHOOK_URL"
"""The receiver whose address and secret are settings."""


@dataclass(frozen=True)
class Receiver:
    """One row; `url` is None for the receiver of the settings."""

    id: int
    name: str
    cursor: int
    events_cursor: int
    delivered_at: datetime | None = None
    failing_since: datetime | None = None
    next_attempt_at: datetime | None = None
    suspended_at: datetime | None = None
    last_error: str | None = None
    url: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        secret = (self.secret or "").removeprefix("whsec_")
        register_secrets([*(secrets_in(self.url) if self.url else ()), secret])

    @property
    def state(self) -> str:
        """One word."""
        return "suspended" if self.suspended_at else "failing" if self.failing_since else "ok"


# A new receiver; one of that name stays as it is.
_ADD = """
INSERT INTO webhook_receivers (name, url, secret, cursor, events_cursor)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING
"""

_REMOVE = "DELETE FROM webhook_receivers WHERE name = %s"

# Moves on after a delivery; not when another sender, or a replay, has moved the cursors.
_ADVANCE = """
UPDATE webhook_receivers SET cursor = %s, events_cursor = %s, last_error = NULL,
    delivered_at = CASE WHEN %s THEN clock_timestamp() ELSE delivered_at END,
    failing_since = NULL, next_attempt_at = NULL
WHERE id = %s AND cursor = %s AND events_cursor = %s
"""

# A failed attempt, unless another sender has delivered or failed meanwhile.
_FAIL = """
UPDATE webhook_receivers SET last_error = %s, next_attempt_at = %s, suspended_at = %s,
    failing_since = coalesce(failing_since, clock_timestamp())
WHERE id = %s AND cursor = %s AND events_cursor = %s AND suspended_at IS NULL
"""

# Ends a suspension and a pause.
_RESUME = """
UPDATE webhook_receivers SET suspended_at = NULL, failing_since = NULL, next_attempt_at = NULL
WHERE name = %s
"""

# Sends the feed again, to one receiver or to all.
_REPLAY = """
UPDATE webhook_receivers SET cursor = least(cursor, %s) WHERE name = coalesce(%s, name)
"""


def load(connection: Connection) -> list[Receiver]:
    """Every receiver, secrets included."""
    with connection.cursor(row_factory=class_row(Receiver)) as rows:
        return rows.execute("SELECT * FROM webhook_receivers ORDER BY id").fetchall()


def add(
    connection: Connection,
    name: str,
    heads: tuple[int, int],
    *,
    url: str | None = None,
    secret: str | None = None,
) -> bool:
    """A new receiver that gets what happens after `heads`; False when the name is taken."""
    return connection.execute(_ADD, (name, url, secret, *heads)).rowcount == 1


def remove(connection: Connection, name: str) -> bool:
    """Forgets a receiver; False when there is none of that name."""
    return connection.execute(_REMOVE, (name,)).rowcount == 1


def resume(connection: Connection, name: str) -> bool:
    """Ends a suspension; False when there is no receiver of that name."""
    return connection.execute(_RESUME, (name,)).rowcount == 1


def advance(
    connection: Connection, receiver: Receiver, cursors: tuple[int, int], *, delivered: bool
) -> bool:
    """Moves the cursors; False when they were moved by another process, which holds."""
    values = (*cursors, delivered, receiver.id, receiver.cursor, receiver.events_cursor)
    return connection.execute(_ADVANCE, values).rowcount == 1


def fail(
    connection: Connection,
    receiver: Receiver,
    error: str,
    next_attempt_at: datetime | None,
    suspended_at: datetime | None,
) -> None:
    """Keeps why an attempt failed and when the next one is due."""
    of = (receiver.id, receiver.cursor, receiver.events_cursor)
    connection.execute(_FAIL, (error, next_attempt_at, suspended_at, *of))


def replay(connection: Connection, first_change: int, name: str | None) -> None:
    """Sends again from a change of the feed on, to one receiver or to all."""
    connection.execute(_REPLAY, (first_change - 1, name))


def unknown(name: str) -> OddinsError:
    """The error of a name that no receiver has."""
    return OddinsError(f"there is no receiver {name}; see `oddins receivers list`")
