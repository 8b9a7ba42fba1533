"""The sync as a plain script drives it: answers are handed over, no Dagster, no provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.catalog.response import canonical_hash
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import REAL_SOURCE, Target
from oddins_pipeline.database.payloads import Params, RawResponse
from oddins_pipeline.database.publish import TableCounts
from oddins_pipeline.pipeline.sync import Archived, Session, open_session
from oddins_pipeline.provider.client import LeaguesResponse
from oddins_pipeline_tests.test_league_sync import body_of

Entries = list[dict[str, Any]]
Row = tuple[Any, ...]


class Core:
    """One session on one database; each call publishes one answer as a run would."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.url = session.url
        self.connection = session.connection

    def sync(
        self, entries: Entries, params: Params | None = None, *, force: bool = False
    ) -> TableCounts:
        """Publishes an answer over `entries`. Raises ResponseRejectedError."""
        entries = json.loads(json.dumps(entries))
        received = RawResponse(
            body=body_of(entries),
            params=params or {},
            fetched_at=datetime.now(timezone.utc),
            sha256=canonical_hash(entries),
            results=len(entries),
        )
        answer = LeaguesResponse(received, entries, REAL_SOURCE, Quota())
        self._session.force = force
        return self._publish(self._session.archive(answer, "https://provider.example.test"))

    def replay(self) -> TableCounts:
        """What `--replay` does. Raises NothingToPublishError, ResponseRejectedError."""
        self._session.force = False
        return self._publish(self._session.replayed())

    def _publish(self, archived: Archived) -> TableCounts:
        return self._session.publish(self._session.validate(archived))

    def query(self, statement: str, *values: object) -> list[Row]:
        """Rows of a statement on the session's own connection."""
        return self.connection.execute(statement, values or None).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        """What a person does with psql."""
        self.connection.execute(statement, values or None)

    def feed(self) -> list[Row]:
        """(entity, natural key, change, before, after) of everything but `loaded`, in order."""
        return self.query(
            "SELECT entity, natural_key, change, before, after FROM catalog_changes"
            " WHERE change <> 'loaded' ORDER BY id"
        )


@contextmanager
def core_on(url: str, **settings: Any) -> Iterator[Core]:
    """An open session; `settings` replace defaults."""
    known = Settings(_env_file=None, database_url=url, **settings)
    with open_session(
        known, Target(sample=False, embedded=None), run_id=None, lock_timeout=0
    ) as session:
        yield Core(session)
