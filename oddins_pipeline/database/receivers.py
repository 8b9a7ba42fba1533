"""`webhook_receivers`: where events go, and how far each receiver has got. Addresses and signing
secrets are registered for redaction as soon as they are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from psycopg.rows import class_row

from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.errors import NotInCatalogError
from oddins_pipeline.logs import register_secrets
from oddins_pipeline.urls import secrets_in

DEFAULT = "ODDINS_WEBHOOK_URL"
"""The receiver whose address and secret are settings; its row has its cursors."""

MIN_PAUSE, MAX_PAUSE = timedelta(seconds=30), timedelta(hours=6)
SUSPEND_AFTER = timedelta(days=3)


@dataclass(frozen=True)
class Receiver:
    """One row; `url` is None when that of the settings is not set here."""

    id: int
    name: str
    cursor: int = 0
    events_cursor: int = 0
    delivered_at: datetime | None = None
    failing_since: datetime | None = None
    next_attempt_at: datetime | None = None
    suspended_at: datetime | None = None
    is_due: bool = True
    last_error: str | None = None
    url: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        secret = (self.secret or "").removeprefix("whsec_")
        register_secrets([*secrets_in(self.url or ""), secret])

    @property
    def state(self) -> str:
        """One word."""
        return "suspended" if self.suspended_at else "failing" if self.failing_since else "ok"


# Whether an attempt is due is decided by the server's clock, as all else here.
_LOAD = """
SELECT *, suspended_at IS NULL AND coalesce(next_attempt_at <= clock_timestamp(), true) AS is_due
FROM webhook_receivers ORDER BY id
"""

# A new receiver gets what happens from now on; one of that name stays as it is.
_ADD = """
INSERT INTO webhook_receivers (name, url, secret, cursor, events_cursor)
SELECT %s, %s, %s, coalesce((SELECT max(id) FROM catalog_changes), 0),
    coalesce((SELECT max(id) FROM webhook_events), 0)
ON CONFLICT (name) DO NOTHING
"""

REMOVE = "DELETE FROM webhook_receivers WHERE name = %s"

# Ends a suspension and a pause.
RESUME = """
UPDATE webhook_receivers SET suspended_at = NULL, failing_since = NULL, next_attempt_at = NULL
WHERE name = %s
"""

# Moves on after a delivery; not when another sender, or a replay, has moved the cursors.
_ADVANCE = """
UPDATE webhook_receivers SET cursor = %(to_cursor)s, events_cursor = %(to_events_cursor)s,
    delivered_at = CASE WHEN %(delivered)s THEN clock_timestamp() ELSE delivered_at END,
    last_error = NULL, failing_since = NULL, next_attempt_at = NULL
WHERE id = %(id)s AND cursor = %(cursor)s AND events_cursor = %(events_cursor)s
"""

# A failed attempt, unless another sender has delivered or failed meanwhile: pauses double, and
# after days of failures, or when the receiver is gone, it is suspended.
_FAIL = """
UPDATE webhook_receivers r SET last_error = %(error)s,
    failing_since = coalesce(failing_since, now),
    next_attempt_at = now + least(greatest(failing, %(min_pause)s), %(max_pause)s),
    suspended_at = CASE WHEN %(gone)s OR failing >= %(suspend_after)s THEN now END
FROM (SELECT id, now, now - coalesce(failing_since, now) AS failing
    FROM webhook_receivers, clock_timestamp() AS now) AS known
WHERE known.id = r.id AND r.id = %(id)s AND suspended_at IS NULL
    AND cursor = %(cursor)s AND events_cursor = %(events_cursor)s
RETURNING suspended_at IS NOT NULL
"""

# Sends the feed again.
_REPLAY = "UPDATE webhook_receivers SET cursor = least(cursor, %s) WHERE id = %s"


def of_settings(settings: Settings) -> list[Receiver]:
    """The receiver of ODDINS_WEBHOOK_URL, when that is set."""
    if settings.webhook_url is None:
        return []
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
    url = settings.webhook_url.get_secret_value()
    return [Receiver(0, DEFAULT, url=url, secret=secret)]


def load(connection: Connection, settings: Settings, name: str | None = None) -> list[Receiver]:
    """Every receiver, or one by its name, secrets included; that of the settings has no row before
    it was used, and no address where they are not set. Raises NotInCatalogError.
    """
    with connection.cursor(row_factory=class_row(Receiver)) as rows:
        found = {one.name: one for one in rows.execute(_LOAD)}
    for one in of_settings(settings):
        found[DEFAULT] = replace(found.get(DEFAULT, one), url=one.url, secret=one.secret)
    if name is not None and name not in found:
        raise _unknown(name)
    return [one for one in found.values() if name in {None, one.name}]


def add(
    connection: Connection, name: str, url: str | None = None, secret: str | None = None
) -> bool:
    """A new receiver; False when the name is taken."""
    return connection.execute(_ADD, (name, url, secret)).rowcount == 1


def add_missing(connection: Connection, settings: Settings) -> None:
    """Gives the receiver of the settings its row: it gets what happens from then on."""
    if any(one.id == 0 for one in load(connection, settings)):
        add(connection, DEFAULT)


def change(connection: Connection, statement: str, name: str) -> None:
    """Executes REMOVE or RESUME. Raises NotInCatalogError."""
    if connection.execute(statement.encode(), (name,)).rowcount == 0:
        raise _unknown(name)


def replay(connection: Connection, receiver: Receiver, first_change: int) -> Receiver:
    """Sends again from a change of the feed on."""
    moved = replace(receiver, cursor=min(receiver.cursor, first_change - 1))
    connection.execute(_REPLAY, (moved.cursor, moved.id))
    return moved


def advance(connection: Connection, old: Receiver, new: Receiver, *, delivered: bool) -> bool:
    """Moves the cursors; False when they were moved by another process, which holds."""
    to = {"to_cursor": new.cursor, "to_events_cursor": new.events_cursor, "delivered": delivered}
    return connection.execute(_ADVANCE, {**vars(old), **to}).rowcount == 1


def fail(connection: Connection, receiver: Receiver, error: str, *, gone: bool) -> bool:
    """Keeps why an attempt failed; returns whether the receiver is suspended now."""
    pauses = {"min_pause": MIN_PAUSE, "max_pause": MAX_PAUSE, "suspend_after": SUSPEND_AFTER}
    values = {**vars(receiver), **pauses, "error": error, "gone": gone}
    return connection.execute(_FAIL, values).fetchone() == (True,)


def _unknown(name: str) -> NotInCatalogError:
    return NotInCatalogError(f"there is no receiver {name}; see `oddins receivers list`")
