"""Reference lists: how a batch becomes rows of its table."""

# ruff: noqa: S608 - identifiers come from the list's declaration

from __future__ import annotations

from oddins_pipeline.catalog.reference_list import ListBatch, ReferenceList
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.merge import Merge, TableCounts, delist_all, merge_all
from oddins_pipeline.database.staging import copy_rows, temporary_table


def listed_ids(connection: Connection, spec: ReferenceList) -> set[int]:
    """The provider's ids of the listed rows."""
    statement = f"SELECT {spec.key} FROM {spec.name} WHERE delisted_at IS NULL"
    return {number for (number,) in connection.execute(statement)}


def write_list(
    connection: Connection,
    spec: ReferenceList,
    batch: ListBatch,
    *,
    feed_payload: int | None,
) -> TableCounts:
    """Writes the batch, and delists what it no longer holds."""
    from oddins_pipeline.schema import CATALOG
    from oddins_pipeline.schema.columns import merged_columns

    table = CATALOG[spec.name]
    columns, staged = merged_columns(table), f"staged_{spec.name}"
    connection.execute(temporary_table(staged, columns, table))
    copy_rows(connection, staged, columns, batch.rows)
    kept = ", ".join(map(str, sorted(batch.quarantined)))
    step = Merge(
        table=spec.name,
        source=f"SELECT * FROM {staged}",
        match=f"t.{spec.key} = s.{spec.key}",
        columns=columns,
        key_columns=(spec.key,),
        natural_key=f"r ->> '{spec.key}'",
        order=spec.key,
        missing=f"t.{spec.key} <> ALL(ARRAY[{kept}]::integer[])"
        f" AND NOT EXISTS (SELECT FROM {staged} s WHERE s.{spec.key} = t.{spec.key})",
    )
    received = len(batch.rows)
    counts, listed = merge_all(connection, {step: received}, feed_payload=feed_payload)
    if batch.delists and listed[spec.name] > received:
        return delist_all(connection, [step], counts, feed_payload=feed_payload)
    return counts
