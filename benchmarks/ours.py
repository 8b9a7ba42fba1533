"""The sync's core as a plain script uses it, in a process that runs already."""

from __future__ import annotations

import time

# What is otherwise imported late is no part of a sync's memory or time.
import httpcore  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401
import text_unidecode  # type: ignore[import-untyped]  # noqa: F401

import oddins_pipeline.schema  # noqa: F401
from oddins_pipeline.config.workspace import load_workspace
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC
from oddins_pipeline.pipeline.session import open_session
from oddins_pipeline.pipeline.sync import Sync


def load(url: str, provider: str) -> float:
    """Seconds from the request to the commit; address and provider come by the environment."""
    with (
        open_session(load_workspace(), run_id=None, lock_timeout=0) as session,
        session.provider() as client,
    ):
        sync = Sync(session, LEAGUE_SYNC)
        started = time.perf_counter()
        payload = sync.archive(client.fetch(LEAGUE_SYNC.entity.path, {}))
        sync.publish(sync.validate(payload))
        return time.perf_counter() - started
