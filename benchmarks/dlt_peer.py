"""dlt's merge: its `upsert` strategy with `skip_unchanged_rows`, the most efficient one here."""

from __future__ import annotations

import os
import time
from typing import Any

import dlt
from pydantic_core import from_json

from benchmarks.floor import fetch
from benchmarks.responses import COLUMNS, KEYS, Row, plain_rows

DATASET = "dlt_catalog"


def load(url: str, provider: str) -> float:
    """Seconds from the request to the end of the load."""
    pipeline = dlt.pipeline(
        "oddins_bench",
        pipelines_dir=os.environ["DLT_PIPELINES"],
        destination=dlt.destinations.postgres(url),
        dataset_name=DATASET,
    )
    started = time.perf_counter()
    rows = plain_rows(from_json(fetch(provider))["response"])
    pipeline.run([_resource(table, getattr(rows, table)) for table in COLUMNS])
    return time.perf_counter() - started


def _resource(table: str, rows: list[Row]) -> Any:
    columns = COLUMNS[table]
    return dlt.resource(
        (dict(zip(columns, row, strict=True)) for row in rows),
        name=table,
        write_disposition={
            "disposition": "merge",
            "strategy": "upsert",
            "skip_unchanged_rows": True,
        },
        primary_key=KEYS[table],
    )
