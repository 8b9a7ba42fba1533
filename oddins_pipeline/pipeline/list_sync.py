"""The sync of a reference list, on top of `pipeline.sync`."""

from __future__ import annotations

from functools import partial
from typing import Any

from oddins_pipeline.catalog.guard import GuardLimits
from oddins_pipeline.catalog.reference_list import (
    ListBatch,
    ReferenceList,
    check_list,
    normalise_list,
)
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.database.list_tables import listed_ids, write_list
from oddins_pipeline.database.merge import TableCounts
from oddins_pipeline.pipeline.sync import SyncPlan


def list_sync(spec: ReferenceList) -> SyncPlan[ListBatch]:
    """The plan of one list; its responses are always full, and its limits are its own."""

    def validate(
        connection: Connection, batch: ListBatch, _: GuardLimits, *, force: bool, **_full: Any
    ) -> ListBatch:
        check_list(spec, batch, listed_ids(connection, spec), force=force)
        return batch

    def write(
        connection: Connection, batch: ListBatch, *, feed_payload: int | None, **_full: Any
    ) -> TableCounts:
        return write_list(connection, spec, batch, feed_payload=feed_payload)

    return SyncPlan(spec.entity, partial(normalise_list, spec), validate, write)
