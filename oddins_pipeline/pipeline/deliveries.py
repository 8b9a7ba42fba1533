"""Delivery of events to webhook receivers: at least once, in order, outside every sync.

A receiver's cursors move only after its 2xx, so a sender that is killed sends again what was not
confirmed; ids stay the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from oddins_pipeline.catalog.events import Event, events_of
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database import events, receivers
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.receivers import Receiver
from oddins_pipeline.errors import WebhookError
from oddins_pipeline.pipeline.notifications import send

logger = logging.getLogger(__name__)

TICK_BUDGET = 20.0
"""Seconds of one tick's deliveries, shared by the receivers that are due."""

GONE = 410
MAX_COUNTED = 10_000


def deliver_due(connection: Connection, settings: Settings, *, budget: float = TICK_BUDGET) -> int:
    """Sends what is due to every receiver, within `budget` seconds and one change's events;
    returns how many.

    The connection is in autocommit mode: nothing is locked while a receiver takes its time.
    """
    receivers.add_missing(connection, settings)
    due = [one for one in receivers.load(connection, settings) if one.is_due and one.url]
    # Those that wait longest come first.
    due.sort(key=lambda one: (one.delivered_at is not None, one.delivered_at))
    ends, sent = time.monotonic() + budget, 0
    for place, receiver in enumerate(due):
        share = (ends - time.monotonic()) / (len(due) - place)
        if share > 0:
            sent += _deliver(connection, settings, receiver, time.monotonic() + share)
    return sent


def _deliver(connection: Connection, settings: Settings, receiver: Receiver, ends: float) -> int:
    sent = 0
    for moved, found in pending(connection, receiver):
        for event in found:
            try:
                send(settings, receiver, event)
            except WebhookError as error:
                _fail(connection, receiver, event, error)
                return sent
            sent += 1
        held = receivers.advance(connection, receiver, moved, delivered=bool(found))
        if not held or time.monotonic() >= ends:
            break
        receiver = moved
    return sent


def pending(connection: Connection, receiver: Receiver) -> Iterator[tuple[Receiver, list[Event]]]:
    """What a receiver has not confirmed, oldest first, of the sync state, then of the feed: events,
    and the receiver once it has accepted them.
    """
    for event in events.events_after(connection, receiver.events_cursor):
        receiver = replace(receiver, events_cursor=int(event.id[1:]))
        yield receiver, [event]
    head = events.feed_head(connection)
    for change in events.changes_after(connection, receiver.cursor):
        derived = list(events_of(change))
        if derived:
            receiver = replace(receiver, cursor=change.id)
            yield receiver, derived
    # Changes that derive nothing, or of other leagues, need no second look.
    if head > receiver.cursor:
        yield replace(receiver, cursor=head), []


def pending_count(connection: Connection, receiver: Receiver) -> int:
    """Events that a receiver has not confirmed, up to about MAX_COUNTED, because each is derived;
    none before its first use.
    """
    steps = pending(connection, receiver) if receiver.id else ()
    return sum(len(found) for _, found in islice(steps, MAX_COUNTED))


def _fail(connection: Connection, receiver: Receiver, event: Event, error: WebhookError) -> None:
    suspended = receivers.fail(connection, receiver, str(error), gone=error.status == GONE)
    message = "webhook receiver suspended" if suspended else "webhook delivery failed"
    facts = {"receiver": receiver.name, "event": event.id, "reason": str(error)}
    logger.warning(message, extra=facts)
