"""The dry run: a real sync in a transaction that is rolled back."""

from __future__ import annotations

from dataclasses import replace

from oddins_pipeline.catalog.requests import Params
from oddins_pipeline.database import payloads, publish
from oddins_pipeline.database.connection import database_errors
from oddins_pipeline.database.merge import TableCounts
from oddins_pipeline.errors import ResponseRejectedError
from oddins_pipeline.pipeline.sync import B, Sync, SyncResult


class _RollBackError(Exception):
    """Ends the transaction without a trace."""


def dry_run(sync: Sync[B], params: Params) -> SyncResult:
    """Fetches, and reports what publishing would change and the guard's result.

    Writes nothing but the request's row. Raises ResponseRejectedError for a response that is not
    the response to the request.
    """
    session, plan = sync.session, sync.plan
    connection, entity = session.connection, plan.entity
    with session.provider() as client:
        response = client.fetch(entity.path, params)
    if response.rejection is not None:
        raise response.rejection
    batch = plan.normalise(response.entries)
    guard = "accepts"
    try:
        batch = sync.check(batch, full=not params)
    except ResponseRejectedError as error:
        guard = f"rejects: {error}"
    counts: TableCounts = {}
    try:
        with database_errors(), connection.transaction():
            source = payloads.ensure_source(connection, response.source, response.base_url)
            current = payloads.current_payload(connection, entity, response, source)
            payload = payloads.insert(connection, entity, response, source, session.run_id)
            counts = publish.publish(connection, payload, batch, plan.write)
            raise _RollBackError
    except _RollBackError:
        pass
    result = sync.result(payload, counts)
    return replace(
        result, payload_id=None, run_id=None, unchanged=bool(current), dry_run=True, guard=guard
    )
