"""One entity's sync: fetch, archive, validate, publish. Any entity, without Dagster.

A plain script can use it: see docs/examples.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

from oddins_pipeline.catalog.entities import Entity
from oddins_pipeline.catalog.guard import GuardLimits
from oddins_pipeline.catalog.requests import Params
from oddins_pipeline.catalog.response import Entry, RawResponse
from oddins_pipeline.database import payloads, publish, sync_state
from oddins_pipeline.database.connection import Connection, database_errors
from oddins_pipeline.database.merge import Counts, TableCounts
from oddins_pipeline.database.payloads import Payload
from oddins_pipeline.database.publish import HasAnomalies, Write
from oddins_pipeline.database.requests import last_quota
from oddins_pipeline.errors import OddinsError, ResponseRejectedError
from oddins_pipeline.logs import sanitize
from oddins_pipeline.pipeline.session import Session

logger = logging.getLogger(__name__)

B = TypeVar("B", bound=HasAnomalies)
T = TypeVar("T")


@dataclass(frozen=True)
class SyncPlan(Generic[B]):
    """How one entity is synced.

    `normalise` turns entries into a batch; `validate(connection, batch, limits, full=…, force=…)`
    is the guard: it returns the batch, completed from the tables, or raises
    ResponseRejectedError; `write` is the writer of its tables; `fulfil`, where there is one,
    is run in the transaction that accepts a fetched payload.
    """

    entity: Entity
    normalise: Callable[[list[Entry]], B]
    validate: Callable[..., B]
    write: Write
    fulfil: Callable[[Connection, Payload, str | None], None] | None = None


@dataclass(frozen=True)
class Publication(Generic[B]):
    """A batch that passed the guard; None for a response that is not published again."""

    payload: Payload
    batch: B | None


@dataclass(frozen=True)
class SyncResult:
    """What a sync did, or a dry run would do."""

    payload_id: int | None
    sha256: str
    unchanged: bool
    received: int
    counts: TableCounts
    quota_left: int | None
    anomalies: dict[str, int] = field(default_factory=dict)
    run_id: str | None = None
    dry_run: bool = False
    guard: str = "accepts"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {**vars(self), "counts": {table: asdict(c) for table, c in self.counts.items()}}


def after_commit(read: Callable[[], T], without: T) -> T:
    """What `read` gives; `without` when it fails: the data is committed, and a metric of it must
    not fail the run.
    """
    try:
        with database_errors():
            return read()
    except OddinsError as error:
        logger.warning("a metric could not be read", extra={"reason": sanitize(str(error))})
        return without


class Sync(Generic[B]):
    """The sync of one entity within a session.

    `force` skips the shrinkage check and the quarantine limit, and publishes unchanged content.
    """

    def __init__(self, session: Session, plan: SyncPlan[B], *, force: bool = False) -> None:
        self.session = session
        self.plan = plan
        self.force = force
        self._connection = session.connection
        self._fetched: Payload | None = None
        self._anomalies: Counter[str] = Counter()

    def run(self, params: Params) -> SyncResult:
        """The whole sync: one request, archived, validated, published. Raises OddinsError."""
        with self.session.provider() as client:
            response = client.fetch(self.plan.entity.path, params)
        payload = self.archive(response)
        return self.result(payload, self.publish(self.validate(payload)))

    def archive(self, response: RawResponse) -> Payload:
        """Stores the response, or marks the current payload as seen when nothing has changed.

        Raises ResponseRejectedError after storing one that is not to its request.
        """
        connection, entity = self._connection, self.plan.entity
        workspace = self.session.workspace
        with database_errors():
            source_id = payloads.ensure_source(connection, response.source, workspace.base_url)
            logger.info("provider source ensured", extra={"source_id": source_id})
            if response.rejection is not None:
                raise self._archive_rejected(response, response.rejection, source_id)
            current = payloads.current_payload(connection, entity, response, source_id)
            if current is not None and not self.force:
                with connection.transaction():
                    self._fulfil(current)
                    payloads.touch(connection, current, response.fetched_at)
                return current
            self._fetched = self._insert(response, source_id)
        return self._fetched

    def _archive_rejected(
        self, response: RawResponse, error: ResponseRejectedError, source_id: int
    ) -> ResponseRejectedError:
        """At once with its reason: without one it could be replayed."""
        with self._connection.transaction():
            return self._reject(self._insert(response, source_id), error)

    def _insert(self, response: RawResponse, source_id: int) -> Payload:
        run_id = self.session.run_id
        return payloads.insert(self._connection, self.plan.entity, response, source_id, run_id)

    def _reject(self, payload: Payload, error: ResponseRejectedError) -> ResponseRejectedError:
        """Stores the reason; returns the error that names the payload."""
        named = ResponseRejectedError(
            f"payload {payload.id} is rejected: {error}; see it with `oddins payload {payload.id}`",
            refusal_code=error.refusal_code,
        )
        payloads.record_refusal(self._connection, payload, named)
        return named

    def stored(self, *, retry_of: str | None = None) -> Payload:
        """The archived response to publish when this run fetched none: that of the run which this
        one retries, else the newest published one. Raises NothingToPublishError.
        """
        connection, entity = self._connection, self.plan.entity
        with database_errors():
            found = payloads.payload_of_run(connection, entity, retry_of) if retry_of else None
            return found or payloads.newest_published(connection, entity)

    def replayed(self) -> Payload:
        """The newest archived full response (a rejected one only with force)."""
        with database_errors():
            return payloads.newest_full(self._connection, self.plan.entity, also_refused=self.force)

    def validate(self, payload: Payload) -> Publication[B]:
        """Normalises and guards. Raises ResponseRejectedError after storing the reason."""
        if payload.unchanged:
            return Publication(payload, None)
        batch = self.plan.normalise(payload.entries)
        payload.entries.clear()
        self._anomalies = Counter(anomaly.kind for anomaly in batch.anomalies)
        try:
            batch = self.check(batch, full=payload.full)
        except ResponseRejectedError as error:
            with database_errors(), self._connection.transaction():
                named = self._reject(payload, error)
                publish.record_anomalies(self._connection, payload.id, batch.anomalies)
            raise named from None
        return Publication(payload, batch)

    def check(self, batch: B, *, full: bool) -> B:
        """The guard over what the tables hold. Raises ResponseRejectedError."""
        limits: GuardLimits = self.session.workspace.settings.guard
        with database_errors():
            return self.plan.validate(self._connection, batch, limits, full=full, force=self.force)

    def publish(self, publication: Publication[B]) -> TableCounts:
        """Writes the batch in one transaction. Raises DatabaseError; then nothing is written."""
        payload, batch = publication.payload, publication.batch
        if batch is None:
            entity = self.plan.entity
            counts = after_commit(
                lambda: sync_state.unchanged_counts(self._connection, entity),
                dict.fromkeys(entity.tables, Counts()),
            )
        else:
            with database_errors(), self._connection.transaction():
                counts = publish.publish(self._connection, payload, batch, self.plan.write)
                if self._fetched is not None:
                    self._fulfil(self._fetched)
        self._prune()
        message = "sync completed" if batch is not None else "sync completed: unchanged"
        logger.info(message, extra={"payload_id": payload.id, **_metrics(counts)})
        return counts

    def result(self, payload: Payload, counts: TableCounts) -> SyncResult:
        """The result of a sync that has published, or of one that found nothing changed."""
        quota = after_commit(lambda: last_quota(self._connection), None)
        return SyncResult(
            payload_id=payload.id,
            sha256=payload.sha256,
            unchanged=payload.unchanged,
            received=payload.results,
            counts=counts,
            quota_left=quota.day_remaining if quota else None,
            anomalies=dict(self._anomalies),
            run_id=self.session.run_id,
        )

    def _fulfil(self, payload: Payload) -> None:
        if self.plan.fulfil is not None:
            self.plan.fulfil(self._connection, payload, self.session.run_id)

    def _prune(self) -> None:
        """Retention must not fail a sync that is committed."""
        settings = self.session.workspace.settings
        try:
            with database_errors():
                payloads.prune(
                    self._connection,
                    bodies_days=settings.keep_bodies_days,
                    requests_days=settings.keep_requests_days,
                )
        except OddinsError as error:
            logger.warning("retention failed", extra={"reason": sanitize(str(error))})


def _metrics(counts: TableCounts) -> dict[str, int]:
    metrics = {f"{t}_{what}": n for t, count in counts.items() for what, n in asdict(count).items()}
    return metrics | {f"{t}_upserted": c.inserted + c.updated for t, c in counts.items()}
