"""The sync's core as a plain script uses it, in a process that runs already."""

from __future__ import annotations

import time

# What is otherwise imported late is no part of a sync's memory or time.
import httpcore  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

from oddins_pipeline.config.settings import load_settings
from oddins_pipeline.config.target import choose_target
from oddins_pipeline.pipeline.sync import open_session


def load(url: str, provider: str) -> float:
    """Seconds from the request to the commit; address and provider come by the environment."""
    settings = load_settings()
    target = choose_target(settings)
    with (
        open_session(settings, target, run_id=None, lock_timeout=0) as session,
        session.provider() as client,
    ):
        started = time.perf_counter()
        answer = client.leagues({})
        archived = session.archive(answer, client.base_url)
        del answer
        session.publish(session.validate(archived))
        return time.perf_counter() - started
