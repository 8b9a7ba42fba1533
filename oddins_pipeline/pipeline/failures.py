"""Records why a run failed in `provider_sync_state`, and sends the notification."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from oddins_pipeline.catalog.entities import SyncKey
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import payloads, sync_state
from oddins_pipeline.database.connection import Connection, connect
from oddins_pipeline.errors import NO_ATTEMPT, OddinsError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.pipeline.notifications import notify_failure

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFailure:
    """Why a run failed: a code of `errors`, one sentence, and when (None: now)."""

    code: str
    message: str
    at: datetime | None = None

    @classmethod
    def of(cls, error: OddinsError) -> RunFailure:
        """The failure that an error causes."""
        return cls(error.code, sanitize(str(error)))


def record_failure(
    workspace: Workspace, failure: RunFailure, keys: Iterable[SyncKey], run_id: str | None
) -> None:
    """Best effort, on a connection of its own, within five seconds: the run has failed already and
    given its lock back. Sends the notification when the failure is new.
    """
    keys = list(keys)
    if failure.code in NO_ATTEMPT:
        return
    try:
        with connect(workspace.impatient(5), purpose="failure") as connection:
            keys = store_failure(connection, workspace, failure, keys, run_id)
    except Exception as error:  # noqa: BLE001 - nothing may replace the failure itself
        logger.warning("the failure could not be recorded", extra={"reason": sanitize(str(error))})
    notify_failures(workspace, failure, keys, run_id)


def store_failure(
    connection: Connection,
    workspace: Workspace,
    failure: RunFailure,
    keys: Iterable[SyncKey],
    run_id: str | None,
) -> list[SyncKey]:
    """Stores the failure for those of `keys` that the run has not published; returns those for
    which it is new.

    An interrupt during the commit may find the data committed: then nothing has failed.
    """
    return [
        key
        for key in keys
        if not (run_id and payloads.has_published(connection, run_id, key))
        and sync_state.record_error(
            connection,
            source=workspace.source,
            base_url=workspace.base_url,
            state=key.state,
            message=failure.message,
            at=failure.at,
        )
    ]


def notify_failures(
    workspace: Workspace, failure: RunFailure, keys: Iterable[SyncKey], run_id: str | None
) -> None:
    """Sends one notification for each of `keys`."""
    for key in keys:
        notify_failure(
            workspace.settings,
            failure.message,
            code=failure.code,
            entity=key.state,
            run_id=run_id,
        )
