"""Records why a run failed in `provider_sync_state`, with the event that reports it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from uuid import uuid4

from oddins_pipeline.catalog.entities import SyncKey
from oddins_pipeline.catalog.events import FAILED, REJECTED, Event
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import events, payloads, receivers, sync_state
from oddins_pipeline.database.connection import Connection, connect
from oddins_pipeline.errors import UNRECORDED, OddinsError, ResponseRejectedError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.pipeline.notifications import notify

logger = logging.getLogger(__name__)

# No time-out ends a commit that waits for a synchronous standby which is gone.
_WAIT_FOR_NO_STANDBY = "SET synchronous_commit = local"


@dataclass(frozen=True)
class RunFailure:
    """Why a run failed: a code of `errors`, one sentence, when (None: now), and how many seconds
    ago it took the lock (None: it has not, or is not known).
    """

    code: str
    message: str
    at: datetime | None = None
    session_age: float | None = None

    @property
    def event(self) -> str:
        """The type of its event."""
        return REJECTED if self.code == ResponseRejectedError.code else FAILED

    @classmethod
    def of(cls, error: OddinsError, at: datetime | None = None) -> RunFailure:
        """The failure that an error causes."""
        return cls(error.code, sanitize(str(error)), at)


def record_failure(
    workspace: Workspace, failure: RunFailure, keys: Iterable[SyncKey], run_id: str | None
) -> None:
    """Best effort, on a connection of its own, within five seconds: the run has failed already and
    given its lock back. The event leaves by the sensor; without automation it is sent from here to
    every receiver, and when it could not be recorded, to that of the settings.
    """
    if failure.code in UNRECORDED:
        return
    keys, settings = list(keys), workspace.settings
    to = []
    try:
        with connect(workspace.impatient(5), purpose="failure") as connection:
            connection.execute(_WAIT_FOR_NO_STANDBY)
            new = store_failure(connection, workspace, failure, keys, run_id)
            if settings.automation == "off":
                to = receivers.load(connection, settings)
    except Exception as error:  # noqa: BLE001 - nothing may replace the failure itself
        logger.warning("the failure could not be recorded", extra={"reason": sanitize(str(error))})
        new = [_unrecorded(failure, key, run_id) for key in keys]
        to = receivers.of_settings(settings)
    notify(settings, to, new)


def store_failure(
    connection: Connection,
    workspace: Workspace,
    failure: RunFailure,
    keys: Iterable[SyncKey],
    run_id: str | None,
) -> list[Event]:
    """Stores the failure, with its event, for those of `keys` that the run has not published;
    returns the events of those for which it is new.

    An interrupt during the commit may find the data committed: then nothing has failed.
    """
    new: list[Event] = []
    for key in keys:
        if run_id and payloads.has_published(connection, run_id, key):
            continue
        with connection.transaction():
            text, facts = failure.message, {"code": failure.code, "run_id": run_id}
            if sync_state.record_error(
                connection,
                workspace,
                key.state,
                text,
                run_id=run_id,
                at=failure.at,
                session_age=failure.session_age,
            ):
                event = events.writing(failure.event, text, key.state, facts)
                new += events.add(connection, event)
    return new


def _unrecorded(failure: RunFailure, key: SyncKey, run_id: str | None) -> Event:
    facts = {"entity": key.state, "code": failure.code, "run_id": run_id}
    now = datetime.now(timezone.utc)
    return Event(f"u{run_id or uuid4()}.{key.state}", failure.event, now, failure.message, facts)
