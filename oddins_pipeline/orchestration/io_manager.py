"""`postgres_io_manager`: archives the raw response, publishes the batch, loads tables.

The catalog assets are slices of one batch. The first slice that is handled publishes the whole
batch in one transaction, so every materialization event follows the commit.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
from psycopg.rows import dict_row

from oddins_pipeline import __version__
from oddins_pipeline.catalog.entities import LEAGUES, Entity
from oddins_pipeline.catalog.lists import LISTS, TABLES
from oddins_pipeline.catalog.response import RawResponse
from oddins_pipeline.catalog.steps import RAW
from oddins_pipeline.database.changes import ChangeFilter, changes
from oddins_pipeline.database.payloads import Payload
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.logs import redact
from oddins_pipeline.orchestration.change_summary import SCAN_LIMIT, markdown
from oddins_pipeline.orchestration.failures import ExpectedFailureError
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.orchestration.table_metadata import column_lineage, table_metadata
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC
from oddins_pipeline.pipeline.sync import Publication, Sync, after_commit
from oddins_pipeline.schema import CATALOG

LIST_ENTITIES = {spec.name: spec.entity for spec in LISTS}
_LINEAGE = {
    name: column_lineage(table, name if name in LIST_ENTITIES else RAW)
    for name, table in CATALOG.items()
}


@dataclass(frozen=True)
class Slice:
    """One table's part of a publication."""

    publication: Publication[Any]
    table: str

    @property
    def sha256(self) -> str:
        """The payload's hash."""
        return self.publication.payload.sha256


class PostgresIOManager(dg.IOManager):
    """Writes on the run's own connection; `load_input` gives a table's rows as dicts."""

    def __init__(self, run: RunSession) -> None:
        self._run = run

    def handle_output(self, context: dg.OutputContext, obj: RawResponse | Payload | Slice) -> None:
        """Commits, then describes what was committed."""
        name = context.asset_key.path[-1]
        entity = LIST_ENTITIES.get(name, LEAGUES)
        with self._run.step_of(entity):
            if isinstance(obj, Slice):
                context.add_output_metadata(self.publish(obj))
                return
            metadata = self.archive(obj, entity)
            if name in LIST_ENTITIES:
                metadata |= self.publish(self._validated(entity))
            context.add_output_metadata(metadata)
        self._run.finish(name)

    def archive(self, fetched: RawResponse | Payload, entity: Entity = LEAGUES) -> dict[str, Any]:
        """Archives what was fetched; returns its metadata. Raises OddinsError."""
        progress = self._run.of(entity)
        assert progress.sync is not None
        response = fetched if isinstance(fetched, RawResponse) else None
        payload = fetched if isinstance(fetched, Payload) else progress.sync.archive(fetched)
        progress.payload = payload
        metadata: dict[str, Any] = {
            entity.label: payload.results,
            "payload_bytes": payload.bytes,
            "unchanged": payload.unchanged,
            **self._provenance(payload),
        }
        if response is not None:
            metadata["fetch_seconds"] = round(response.seconds, 3)
            if response.quota.day_remaining is not None:
                metadata["quota_left"] = response.quota.day_remaining
        return metadata

    def _provenance(self, payload: Payload) -> dict[str, Any]:
        """Provenance: software version, settings hash, payload id."""
        workspace = self._run.session.workspace
        return {
            "payload_id": payload.id,
            "payload_sha256": payload.sha256,
            "software_version": __version__,
            "settings_sha256": workspace.settings.fingerprint,
            "database": redact(workspace.database),
        }

    def _validated(self, entity: Entity) -> Slice:
        """The only slice of a reference list."""
        progress = self._run.of(entity)
        assert progress.sync is not None
        assert progress.payload is not None
        return Slice(progress.sync.validate(progress.payload), entity.name)

    def publish(self, part: Slice) -> dict[str, Any]:
        """Publishes the whole batch with its first slice; returns the metadata of the slice's
        table. Raises OddinsError.
        """
        payload = part.publication.payload
        started = time.monotonic()
        first = self._run.of(payload.entity).counts is None
        progress = self._run.publish(part.publication)
        if first:
            progress.publish_seconds = time.monotonic() - started
        assert progress.counts is not None
        counts = progress.counts[part.table]
        moved = counts.inserted + counts.updated + counts.delisted
        rows = after_commit(lambda: self._row_counts(payload.entity)[part.table], None)
        found = after_commit(lambda: self._changes(part), None) if moved else []
        return {
            **({} if found is None else {"changes": markdown(found, all_of_them=moved)}),
            **({} if rows is None else {"dagster/row_count": rows}),
            **table_metadata(CATALOG[part.table]),
            "dagster/column_lineage": _LINEAGE[part.table],
            "payload_id": payload.id,
            "unchanged": moved == 0,
            "publish_seconds": round(progress.publish_seconds, 3),
            **{f"rows_{what}": number for what, number in asdict(counts).items()},
        }

    def _changes(self, part: Slice) -> list[dict[str, Any]]:
        payload_id = part.publication.payload.id
        wanted = ChangeFilter(SCAN_LIMIT, entity=part.table, payload_id=payload_id)
        with self._run.reading() as connection:
            return changes(connection, wanted)

    def _row_counts(self, entity: Entity) -> dict[str, int]:
        progress = self._run.of(entity)
        if not progress.row_counts:
            counts = (f"(SELECT count(*) FROM {table})" for table in entity.tables)  # noqa: S608
            with self._run.reading() as connection:
                row = connection.execute(f"SELECT {', '.join(counts)}".encode()).fetchone()
            progress.row_counts = dict(zip(entity.tables, row or (), strict=True))
        return progress.row_counts

    def load_input(self, context: dg.InputContext) -> Any:
        """The run's archived response for `raw_leagues`; for a table, its rows as dicts."""
        name = context.asset_key.path[-1]
        if name == RAW:
            with self._run.step_of(LEAGUES):
                return self._payload(context)
        try:
            return self._rows(name)
        except OddinsError as error:
            raise ExpectedFailureError(error) from None

    def _payload(self, context: dg.InputContext) -> Payload:
        progress = self._run.of(LEAGUES)
        if progress.payload is None:
            # A retry from failure publishes what its parent archived; a run without raw_leagues
            # publishes the newest published response again.
            parent = context.step_context.dagster_run.parent_run_id
            progress.sync = Sync(self._run.session, LEAGUE_SYNC)
            progress.payload = progress.sync.stored(retry_of=parent)
        return progress.payload

    def _rows(self, table: str) -> list[dict[str, Any]]:
        with (
            self._run.reading() as connection,
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
