"""The league sync without Dagster: fetch, archive, judge, publish. A plain script can use it.

One session is one run: one connection that holds the lock and writes everything.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace

from oddins_pipeline.catalog import guard
from oddins_pipeline.catalog.account import Account
from oddins_pipeline.catalog.normalise import normalise
from oddins_pipeline.catalog.response import entries_of, parse_body
from oddins_pipeline.catalog.rows import Batch
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import REAL_SOURCE, SAMPLE_SOURCE, Target, database_url
from oddins_pipeline.database import backfills, lock, payloads, publish, revision
from oddins_pipeline.database.connection import Connection, connect, database_errors
from oddins_pipeline.database.merge import Counts
from oddins_pipeline.database.payloads import Params
from oddins_pipeline.database.pool import pool, reading
from oddins_pipeline.database.pooler import refuse_transaction_pooler
from oddins_pipeline.database.publish import TABLES, Payload, TableCounts
from oddins_pipeline.database.requests import RequestLog
from oddins_pipeline.errors import OddinsError, ResponseRejectedError, UsageError
from oddins_pipeline.logs import register_secrets, sanitize
from oddins_pipeline.provider.client import ApiFootball, LeaguesResponse, RequestLimits

logger = logging.getLogger(__name__)

PURPOSE = "sync"
APPLICATION = f"oddins {PURPOSE}"
"""What the `application_name` of a run's connection begins with; its id's first 8 characters
follow.
"""

SAMPLE_KEY = "sample-provider-needs-no-key"


@dataclass(frozen=True)
class LeagueFilter:
    """Which part of `/leagues` to ask for; nothing set is the full answer.

    Raises UsageError: a request that the provider would refuse costs quota all the same.
    """

    season: int | None = None
    country: str | None = None
    league: int | None = None
    current: bool = False

    def __post_init__(self) -> None:
        if self.season is not None and not 1900 <= self.season <= 2100:  # noqa: PLR2004
            raise UsageError("the season is not a year from 1900 to 2100")
        if self.league is not None and not 1 <= self.league < 2**31:
            raise UsageError("the league is not a provider id from 1 to 2147483647")
        if self.country is not None and not self.country.strip().isprintable():
            raise UsageError("the country holds characters that no name has")
        if self.country is not None and not self.country.strip():
            raise UsageError("the country is empty; leave it out for all countries")

    @property
    def params(self) -> Params:
        """The request's parameters."""
        found = {"season": self.season, "country": self.country, "id": self.league}
        params = {key: str(value) for key, value in found.items() if value is not None}
        return {**params, "current": "true"} if self.current else params

    @property
    def entity(self) -> str:
        """Whose sync state such a sync speaks of."""
        return publish.PARTIAL if self.params else publish.FULL


@dataclass(frozen=True)
class Archived:
    """An answer in the payloads. `unchanged` when the tables show it already."""

    payload: Payload
    entries: list[object]
    unchanged: bool = False
    bytes: int = 0


@dataclass(frozen=True)
class Publication:
    """A batch that passed the guard, or an answer that needs no publishing."""

    payload: Payload
    batch: Batch | None
    unchanged: bool


class Session:
    """One run's connection and lock, and what it does with them."""

    def __init__(
        self,
        settings: Settings,
        target: Target,
        url: str,
        connection: Connection,
        run_id: str | None,
    ) -> None:
        self.settings = settings
        self.target = target
        self.url = url
        self.connection = connection
        self.run_id = run_id
        self.force = False
        self.query = LeagueFilter()
        self._fetched: Payload | None = None

    @property
    def source(self) -> str:
        """The source that this session expects to speak with."""
        return SAMPLE_SOURCE if self.target.sample else REAL_SOURCE

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A pooled, read-only connection: see `database.pool`."""
        with reading(self.settings, self.url) as connection:
            yield connection

    @contextmanager
    def provider(self) -> Iterator[ApiFootball]:
        """A client of the target's provider; starts the sample provider when that is it."""
        settings = self.settings
        with ExitStack() as stack:
            base_url = settings.base_url
            key = settings.api_key.get_secret_value() if settings.api_key else SAMPLE_KEY
            if self.target.sample and settings.sample_url:
                base_url, key = settings.sample_url, SAMPLE_KEY
            elif self.target.sample:
                from oddins_pipeline.sample_provider import SampleProvider

                base_url = stack.enter_context(SampleProvider()).url
                key = SAMPLE_KEY
                logger.info("sample provider started: generated data, not the provider's")
            log = RequestLog(self.connection, self.run_id, settings.requests_per_minute)
            yield stack.enter_context(ApiFootball(base_url, key, request_limits(settings), log))

    def sync(self, client: ApiFootball) -> tuple[Archived, TableCounts]:
        """Fetches, archives, judges and publishes what `query` asks for. Raises OddinsError."""
        archived = self.archive(client.leagues(self.query.params), client.base_url)
        return archived, self.publish(self.validate(archived))

    def archive(self, answer: LeaguesResponse, base_url: str) -> Archived:
        """Stores the answer, or stamps the stored one when the tables show it already."""
        received = answer.received
        with database_errors():
            source_id = payloads.ensure_source(self.connection, answer.source, base_url)
            logger.info("provider source ensured", extra={"source_id": source_id})
            shown = payloads.current_payload(self.connection, received, source_id)
            if shown is not None and not self.force:
                with self.connection.transaction():
                    payloads.touch(self.connection, shown, received.fetched_at)
                    self._complete_backfill(shown)
                return Archived(shown, answer.entries, unchanged=True, bytes=len(received.body))
            payload = payloads.insert(
                self.connection, received, source_id=source_id, run_id=self.run_id
            )
        self._fetched = payload
        return Archived(payload, answer.entries, bytes=len(received.body))

    def stored(self, *, payload_of_run: str | None = None) -> Archived:
        """The archived answer to publish when none was fetched in this run.

        Raises NothingToPublishError.
        """
        with database_errors():
            found = (
                payloads.payload_of_run(self.connection, payload_of_run) if payload_of_run else None
            )
            payload, body = found or payloads.newest_published(self.connection)
        return Archived(payload, entries_of(parse_body(body)), bytes=len(body))

    def replayed(self) -> Archived:
        """The newest archived full answer (a refused one only with force)."""
        with database_errors():
            payload, body = payloads.newest_full(self.connection, also_refused=self.force)
        return Archived(payload, entries_of(parse_body(body)), bytes=len(body))

    def validate(self, archived: Archived) -> Publication:
        """Normalises and guards. Raises ResponseRejectedError after keeping the reason."""
        if archived.unchanged:
            return Publication(archived.payload, None, unchanged=True)
        batch = normalise(archived.entries)
        archived.entries.clear()
        limits = limits_of(self.settings)
        with database_errors():
            listed = publish.stored_years(self.connection) if archived.payload.full else {}
            try:
                guard.check(batch, listed, limits, full=archived.payload.full, force=self.force)
            except ResponseRejectedError as error:
                with self.connection.transaction():
                    payloads.record_refusal(self.connection, archived.payload, str(error))
                    publish.record_anomalies(self.connection, archived.payload.id, batch)
                raise
        return Publication(archived.payload, batch, unchanged=False)

    def publish(self, publication: Publication) -> TableCounts:
        """Writes the batch in one transaction. Raises DatabaseError; then nothing is written."""
        if publication.batch is None:
            counts = self._unchanged_counts()
        else:
            with database_errors(), self.connection.transaction():
                counts = publish.publish(self.connection, publication.payload, publication.batch)
                self._complete_backfill(self._fetched)
        self._prune()
        figures = {
            f"{table}_{what}": number
            for table, count in counts.items()
            for what, number in asdict(count).items()
        }
        figures |= {f"{t}_upserted": c.inserted + c.updated for t, c in counts.items()}
        logger.info(
            "sync completed" if publication.batch else "sync completed: unchanged",
            extra={"payload_id": publication.payload.id, **figures},
        )
        return counts

    def _complete_backfill(self, fetched: Payload | None) -> None:
        """A season that was fetched by this run fulfils the requests for it."""
        if fetched is not None and fetched.season is not None:
            backfills.mark_done(self.connection, fetched.season, self.run_id)

    def _unchanged_counts(self) -> TableCounts:
        with database_errors():
            row = self.connection.execute(
                "SELECT cursor -> 'counts' FROM provider_sync_state WHERE entity IN (%s, %s)"
                " ORDER BY (cursor ->> 'payload_id')::bigint DESC NULLS LAST LIMIT 1",
                (publish.FULL, publish.PARTIAL),
            ).fetchone()
        stored = row[0] if row and isinstance(row[0], dict) else {}
        received = {table: stored.get(table, {}).get("received", 0) for table in TABLES}
        return {t: Counts(received=n, unchanged=n) for t, n in received.items()}

    def _prune(self) -> None:
        """Retention is housekeeping: it must not fail a sync that is committed."""
        try:
            with database_errors():
                payloads.prune(
                    self.connection,
                    bodies_days=self.settings.keep_bodies_days,
                    requests_days=self.settings.keep_requests_days,
                )
        except OddinsError as error:
            logger.warning("retention failed", extra={"reason": sanitize(str(error))})


@contextmanager
def open_session(
    settings: Settings, target: Target, *, run_id: str | None, lock_timeout: float
) -> Iterator[Session]:
    """Connects, takes the lock, checks the revision; gives the lock back at the end.

    Raises LockHeldError, DatabaseError, SchemaError.
    """
    register_secrets(settings.secrets)
    url = database_url(settings, target)
    purpose = f"{PURPOSE} {run_id[:8]}" if run_id else PURPOSE
    with connect(url, settings, purpose=purpose) as connection:
        with database_errors():
            refuse_transaction_pooler(
                connection, lambda: connect(url, settings, purpose="pooler probe")
            )
            lock.acquire(connection, wait=lock_timeout)
            revision.ensure_current(connection, url=url, upgrade_itself=settings.app_env == "local")
        pool(settings, url)
        try:
            with _collector_paused():
                yield Session(settings, target, url, connection, run_id)
        finally:
            lock.release(connection)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """An answer becomes very many objects without a cycle among them: looking at all of them for
    cycles, time and again, would take as long as parsing them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def ask_account(settings: Settings, connection: Connection, *, timeout: float) -> Account:
    """`/status`, which costs no quota: one attempt of `timeout` seconds. Raises ProviderError."""
    assert settings.api_key is not None
    log = RequestLog(connection, None, settings.requests_per_minute)
    limits = replace(
        request_limits(settings), connect=timeout, read=timeout, attempt=timeout, total=timeout
    )
    key = settings.api_key.get_secret_value()
    with ApiFootball(settings.base_url, key, limits, log) as client:
        return client.status()


def request_limits(settings: Settings) -> RequestLimits:
    """The client's limits."""
    return RequestLimits(
        connect=settings.connect_timeout,
        read=settings.read_timeout,
        attempt=settings.attempt_timeout,
        total=settings.total_timeout,
        attempts=settings.attempts,
        max_retry_after=settings.max_retry_after,
        max_bytes=int(settings.max_body_mb * 1_000_000),
    )


def limits_of(settings: Settings) -> guard.Limits:
    """The guard's thresholds."""
    return guard.Limits(
        settings.min_league_share, settings.min_season_share, settings.max_quarantine_share
    )
