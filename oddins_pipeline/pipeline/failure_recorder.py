"""Keeps why a run failed in `provider_sync_state`, and sends the notice when one is wanted."""

from __future__ import annotations

import logging
from datetime import datetime

from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import REAL_SOURCE, SAMPLE_SOURCE, Target, database_url
from oddins_pipeline.database import payloads, sync_state
from oddins_pipeline.database.connection import Connection, connect
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.pipeline.notifications import notify_failure

logger = logging.getLogger(__name__)


def record_failure(
    settings: Settings,
    target: Target,
    message: str,
    *,
    entity: str,
    run_id: str | None = None,
    outcome: str = OddinsError.outcome,
    at: datetime | None = None,
) -> None:
    """Best effort, on a fresh connection, five seconds: the run has failed already. Then the
    notice, if one is wanted: the lock has been given back.

    An interrupt during the commit may find the data committed: then nothing has failed.
    """
    quick = settings.model_copy(update={"database_connect_timeout": 5, "statement_timeout": 5.0})
    try:
        with connect(database_url(settings, target), quick, purpose="failure") as connection:
            news = store_failure(
                connection,
                settings,
                target,
                message,
                entity=entity,
                run_id=run_id,
                at=at,
            )
    except Exception as error:  # noqa: BLE001 - nothing may hide the failure itself
        logger.warning("the failure could not be recorded", extra={"reason": sanitize(str(error))})
        news = True
    if news:
        notify_failure(settings, message, outcome=outcome, entity=entity, run_id=run_id)


def store_failure(
    connection: Connection,
    settings: Settings,
    target: Target,
    message: str,
    *,
    entity: str,
    run_id: str | None,
    at: datetime | None = None,
) -> bool:
    """Keeps the failure of a run in `provider_sync_state`, unless the run has published.

    True when it is news.
    """
    if run_id is not None and payloads.has_published(connection, run_id):
        return False
    return sync_state.record_error(
        connection,
        source=SAMPLE_SOURCE if target.sample else REAL_SOURCE,
        base_url="sample provider" if target.sample else settings.base_url,
        entity=entity,
        message=sanitize(message, sync_state.MAX_ERROR_CHARACTERS),
        at=at,
    )
