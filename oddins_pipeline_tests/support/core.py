"""The sync as a plain script drives it: responses are handed over, no Dagster, no provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.catalog.requests import SOURCE, Params
from oddins_pipeline.catalog.response import RawResponse, canonical_hash
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Target, Workspace
from oddins_pipeline.database.merge import TableCounts
from oddins_pipeline.database.payloads import Payload
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC
from oddins_pipeline.pipeline.session import Session, open_session
from oddins_pipeline.pipeline.sync import Sync
from oddins_pipeline_tests.support.responses import Entries, body_of

Row = tuple[Any, ...]


class Core:
    """One session on one database; each call publishes one response as a run would."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.url = session.workspace.url
        self.connection = session.connection

    def sync(
        self, entries: Entries, params: Params | None = None, *, force: bool = False
    ) -> TableCounts:
        """Publishes a response over `entries`. Raises ResponseRejectedError."""
        sync = Sync(self.session, LEAGUE_SYNC, force=force)
        return self._publish(sync, sync.archive(self._response(entries, params or {})))

    def archive(self, entries: Entries, *, run_id: str) -> None:
        """What a run that ends before it publishes leaves."""
        session = replace(self.session, run_id=run_id)
        Sync(session, LEAGUE_SYNC).archive(self._response(entries, {}))

    def _response(self, entries: Entries, params: Params) -> RawResponse:
        entries = json.loads(json.dumps(entries))
        ((now,),) = self.query("SELECT clock_timestamp()")
        return RawResponse(
            body=body_of(entries),
            params=params,
            entries=entries,
            sha256=canonical_hash(entries),
            fetched_at=now,
            source=SOURCE,
            base_url="https://provider.example.test",
            quota=Quota(),
            results=len(entries),
        )

    def replay(self) -> TableCounts:
        """What `--replay` does. Raises NothingToPublishError, ResponseRejectedError."""
        sync = Sync(self.session, LEAGUE_SYNC)
        return self._publish(sync, sync.replayed())

    def _publish(self, sync: Sync[Any], payload: Payload) -> TableCounts:
        return sync.publish(sync.validate(payload))

    def query(self, statement: str, *values: object) -> list[Row]:
        """Rows of a statement on the session's own connection."""
        return self.connection.execute(statement, values or None).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        """What a user does with psql."""
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
    workspace = Workspace(known, Target(sample=False, embedded=None), url)
    with open_session(workspace, run_id=None, lock_timeout=0) as session:
        yield Core(session)
