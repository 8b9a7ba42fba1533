"""Delivery of events to webhook receivers: at least once, in order, outside every sync.

A receiver's cursors move only after its 2xx, so a sender that is killed sends again what was not
confirmed; ids stay the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from oddins_pipeline.catalog.events import Event, events_of
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database import events, receivers
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.receivers import DEFAULT, Receiver
from oddins_pipeline.pipeline.notifications import WebhookError, default_address, send

logger = logging.getLogger(__name__)

TICK_BUDGET = 20.0
"""Seconds of one tick's deliveries, shared by the receivers that are due."""

BATCH = 500
MIN_PAUSE, MAX_PAUSE = timedelta(seconds=30), timedelta(hours=6)
SUSPEND_AFTER = timedelta(days=3)
GONE = 410

Step = tuple[list[Event], tuple[int, int]]
"""Events to send, and the cursors once all of them are accepted."""


def deliver_due(connection: Connection, settings: Settings, *, budget: float = TICK_BUDGET) -> int:
    """Sends what is due to every receiver, within `budget` seconds and one change's events;
    returns how many.

    The connection is in autocommit mode: nothing is locked while a receiver takes its time.
    """
    _ensure_default(connection, settings)
    now, ends, sent = datetime.now(timezone.utc), time.monotonic() + budget, 0
    due = [one for one in receivers.load(connection) if is_due(one, now)]
    due.sort(key=lambda one: one.delivered_at or now - SUSPEND_AFTER)
    for place, receiver in enumerate(due):
        share = (ends - time.monotonic()) / (len(due) - place)
        if share > 0:
            sent += _deliver(connection, settings, receiver, time.monotonic() + share)
    return sent


def _ensure_default(connection: Connection, settings: Settings) -> None:
    """The address of the settings has a row while it is set, and begins again when set again."""
    if settings.webhook_url is None:
        receivers.remove(connection, DEFAULT)
    else:
        receivers.add(connection, DEFAULT, events.heads(connection))


def is_due(receiver: Receiver, now: datetime) -> bool:
    """Whether an attempt may be made now."""
    pause_over = receiver.next_attempt_at is None or receiver.next_attempt_at <= now
    return receiver.suspended_at is None and pause_over


def _deliver(connection: Connection, settings: Settings, receiver: Receiver, ends: float) -> int:
    to = (receiver.url, receiver.secret) if receiver.url else default_address(settings)
    sent = 0
    if to is None:
        return sent
    for found, cursors in pending(connection, receiver):
        for event in found:
            try:
                send(settings, *to, event)
            except WebhookError as error:
                _fail(connection, receiver, event, error)
                return sent
            sent += 1
        moved = receivers.advance(connection, receiver, cursors, delivered=bool(found))
        if not moved or time.monotonic() >= ends:
            break
        receiver = replace(receiver, cursor=cursors[0], events_cursor=cursors[1])
    return sent


def pending(connection: Connection, receiver: Receiver) -> Iterator[Step]:
    """What a receiver has not confirmed, oldest first: of the sync state, then of the feed."""
    cursor, state = receiver.cursor, receiver.events_cursor
    while found := events.events_after(connection, state, limit=BATCH):
        for event in found:
            state = int(event.id[1:])
            yield [event], (cursor, state)
    changes = None
    while changes is None or len(changes) == BATCH:
        head, _ = events.heads(connection)
        changes = events.changes_after(connection, cursor, limit=BATCH)
        for change in changes:
            cursor = change.id
            derived = list(events_of(change))
            if derived:
                yield derived, (cursor, state)
    # Changes that derive nothing, or of other leagues, need no second look.
    if max(head, cursor) > receiver.cursor:
        yield [], (max(head, cursor), state)


def pending_count(connection: Connection, receiver: Receiver) -> int:
    """Events that a receiver has not confirmed."""
    return sum(len(found) for found, _ in pending(connection, receiver))


def after_failure(
    receiver: Receiver, status: int | None, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """(next attempt, suspended at): pauses double up to six hours; 410, or three days of failures,
    suspends.
    """
    failing = now - receiver.failing_since if receiver.failing_since else timedelta(0)
    if status == GONE or failing >= SUSPEND_AFTER:
        return None, now
    return now + min(max(failing, MIN_PAUSE), MAX_PAUSE), None


def _fail(connection: Connection, receiver: Receiver, event: Event, error: WebhookError) -> None:
    plan = after_failure(receiver, error.status, datetime.now(timezone.utc))
    receivers.fail(connection, receiver, str(error), *plan)
    message = "webhook receiver suspended" if plan[1] else "webhook delivery failed"
    facts = {"receiver": receiver.name, "event": event.id, "reason": str(error)}
    logger.warning(message, extra=facts)
