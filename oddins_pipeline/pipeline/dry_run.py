"""The dry run: the real thing in a transaction that is rolled back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from oddins_pipeline.catalog import guard
from oddins_pipeline.catalog.normalise import normalise
from oddins_pipeline.database import payloads, publish
from oddins_pipeline.database.connection import database_errors
from oddins_pipeline.database.requests import last_quota
from oddins_pipeline.errors import ResponseRejectedError
from oddins_pipeline.pipeline.sync import LeagueFilter, Session, limits_of


class _RollBackError(Exception):
    """Leaves the transaction without a trace."""


def dry_run_sync(session: Session, options: dict[str, Any]) -> dict[str, Any]:
    """Fetches, and says what publishing would change and what the guard says.

    Writes nothing but the request's row.
    """
    query = LeagueFilter(
        options["season"], options["country"], options["league"], options["current"]
    )
    with session.provider() as client:
        answer = client.leagues(query.params)
        base_url = client.base_url
    batch = normalise(answer.entries)
    connection = session.connection
    counts: publish.TableCounts = {}
    with database_errors():
        listed = publish.stored_years(connection) if not query.params else {}
        verdict = "accepts"
        try:
            guard.check(
                batch,
                listed,
                limits_of(session.settings),
                full=not query.params,
                force=options["force"],
            )
        except ResponseRejectedError as error:
            verdict = f"refuses: {error}"
        try:
            with connection.transaction():
                source = payloads.ensure_source(connection, answer.source, base_url)
                shown = payloads.current_payload(connection, answer.received, source)
                payload = payloads.insert(
                    connection, answer.received, source_id=source, run_id=None
                )
                counts = publish.publish(connection, payload, batch)
                raise _RollBackError
        except _RollBackError:
            pass
        quota = last_quota(connection)
    return {
        "dry_run": True,
        "guard": verdict,
        "payload_id": None,
        "sha256": answer.received.sha256,
        "unchanged": shown is not None,
        "received": answer.received.results,
        "counts": {table: asdict(count) for table, count in counts.items()},
        "quota_left": quota[0] if quota else None,
    }
