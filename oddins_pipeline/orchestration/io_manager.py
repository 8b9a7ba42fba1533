"""`postgres_io_manager`: archives the raw answer, publishes the batch, loads tables.

The four catalog assets are slices of one batch. The first slice that is handled publishes the
whole batch in one transaction, so every materialization event follows the commit.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
from psycopg.rows import dict_row

from oddins_pipeline import __version__
from oddins_pipeline.database.changes import ChangeFilter, changes
from oddins_pipeline.database.publish import TABLES
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.change_summary import SCAN_LIMIT, markdown
from oddins_pipeline.orchestration.failures import to_dagster_failure
from oddins_pipeline.orchestration.lineage import LINEAGE
from oddins_pipeline.orchestration.runs import RAW
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.pipeline.sync import Archived, Publication
from oddins_pipeline.provider.client import LeaguesResponse


@dataclass(frozen=True)
class Fetched:
    """What `raw_leagues` hands over: an answer of the provider, or one of the archive.

    `seconds` is what getting it took.
    """

    answer: LeaguesResponse | None
    archived: Archived | None
    base_url: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Slice:
    """One catalog table's part of a publication."""

    publication: Publication
    table: str


class PostgresIOManager(dg.IOManager):
    """Writes on the run's own connection; `load_input` gives a table's rows as dicts."""

    def __init__(self, run: RunSession) -> None:
        self._run = run

    def handle_output(self, context: dg.OutputContext, obj: Fetched | Slice) -> None:
        """Commits, then describes what was committed."""
        try:
            if isinstance(obj, Fetched):
                context.add_output_metadata(self.archive(obj))
            else:
                context.add_output_metadata(self.publish(obj))
        except OddinsError as error:
            raise to_dagster_failure(error) from None

    def archive(self, fetched: Fetched) -> dict[str, Any]:
        """Archives what was fetched; returns the metadata of `raw_leagues`. Raises OddinsError."""
        run = self._run
        if fetched.answer is not None:
            run.archived = run.session.archive(fetched.answer, fetched.base_url)
        else:
            run.archived = fetched.archived
        assert run.archived is not None
        payload = run.archived.payload
        metadata: dict[str, Any] = {
            "leagues": payload.results,
            "payload_bytes": run.archived.bytes,
            "fetch_seconds": round(fetched.seconds, 3),
            "unchanged": run.archived.unchanged,
            **self._receipt(payload.id, payload.sha256),
        }
        quota = fetched.answer.quota if fetched.answer else None
        if quota is not None and quota.day_remaining is not None:
            metadata["quota_left"] = quota.day_remaining
        return metadata

    def _receipt(self, payload_id: int, sha256: str) -> dict[str, Any]:
        """By which software, with which settings, what was got: enough to repeat it."""
        settings = self._run.session.settings
        return {
            "payload_id": payload_id,
            "payload_sha256": sha256,
            "software_version": __version__,
            "settings_sha256": settings.fingerprint,
            "database": self._run.session.target.describe(settings),
        }

    def publish(self, part: Slice) -> dict[str, Any]:
        """Publishes the whole batch when its first slice comes; returns the metadata of the slice's
        table. Raises OddinsError.
        """
        run = self._run
        if run.counts is None:
            started = time.monotonic()
            run.counts = run.session.publish(part.publication)
            run.publish_seconds = time.monotonic() - started
        counts = run.counts[part.table]
        moved = counts.inserted + counts.updated + counts.delisted
        return {
            "changes": markdown(self._changes(part) if moved else [], all_of_them=moved),
            "dagster/row_count": self._row_count(part.table),
            "dagster/column_lineage": LINEAGE[part.table],
            "payload_id": part.publication.payload.id,
            "unchanged": part.publication.unchanged,
            "publish_seconds": round(run.publish_seconds, 3),
            **{f"rows_{what}": number for what, number in asdict(counts).items()},
        }

    def _changes(self, part: Slice) -> list[dict[str, Any]]:
        wanted = ChangeFilter(SCAN_LIMIT, entity=part.table, payload_id=part.publication.payload.id)
        with self._run.session.reading() as connection:
            return changes(connection, wanted)

    def _row_count(self, table: str) -> int:
        with self._run.session.reading() as connection:
            row = connection.execute(
                f"SELECT count(*) FROM {_known(table)}"  # noqa: S608 - one of four names
            ).fetchone()
        return int(str(row[0])) if row else 0

    def load_input(self, context: dg.InputContext) -> Any:
        """The run's archived answer for `raw_leagues`; for a table, its rows as dicts."""
        name = context.asset_key.path[-1]
        try:
            if name == RAW:
                return self._archived(context)
            return self._rows(name)
        except OddinsError as error:
            raise to_dagster_failure(error) from None

    def _archived(self, context: dg.InputContext) -> Archived:
        if self._run.archived is not None:
            return self._run.archived
        # A retry from failure publishes what its parent archived; a run without raw_leagues
        # publishes the newest published answer again.
        run = context.step_context.dagster_run
        return self._run.session.stored(payload_of_run=run.parent_run_id)

    def _rows(self, table: str) -> list[dict[str, Any]]:
        with (
            self._run.session.reading() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute(f"SELECT * FROM {_known(table)}").fetchall()  # noqa: S608


def _known(table: str) -> str:
    if table not in TABLES:
        raise dg.Failure(
            description=f"the catalog has no table {table}; it has {', '.join(TABLES)}",
            allow_retries=False,
        )
    return table


@dg.io_manager(
    required_resource_keys={"sync_session"},
    description="Publishes the batch in one transaction; loads a table's rows downstream.",
)
def postgres_io_manager(context: dg.InitResourceContext) -> PostgresIOManager:
    """The IO manager over the run's session."""
    return PostgresIOManager(context.resources.sync_session)
