"""dlt's merge as fast as it can be run: every choice here was measured against the others.

`upsert` with `skip_unchanged_rows`; CSV (faster than `insert_values`, and than Arrow tables, whose
import costs more than they save); whole lists instead of single rows; declared columns, so that
none is inferred; no compression, trace, telemetry or log.
"""

from __future__ import annotations

import os
import time
from typing import Any

import dlt
import orjson

from benchmarks.responses import COLUMNS, KEYS, Row, fetch, plain_rows

DATASET = "dlt_catalog"
SETTINGS = {
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "ENABLE_RUNTIME_TRACE": "false",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
}
_NUMBERS = {"provider_league_id", "year"}
_TEXTS = {"name", "code", "flag_url", "country_name", "type", "logo_url", "start_date", "end_date"}


def load(url: str, provider: str) -> float:
    """Seconds from the request to the end of the load."""
    os.environ.update(SETTINGS)
    pipeline = dlt.pipeline(
        "oddins_bench",
        pipelines_dir=os.environ["DLT_PIPELINES"],
        destination=dlt.destinations.postgres(url),
        dataset_name=DATASET,
    )
    started = time.perf_counter()
    rows = plain_rows(orjson.loads(fetch(provider))["response"])
    pipeline.run([_resource(table, getattr(rows, table)) for table in COLUMNS])
    return time.perf_counter() - started


def _resource(table: str, rows: list[Row]) -> Any:
    columns = COLUMNS[table]
    return dlt.resource(
        iter([[dict(zip(columns, row, strict=True)) for row in rows]]),
        name=table,
        write_disposition={
            "disposition": "merge",
            "strategy": "upsert",
            "skip_unchanged_rows": True,
        },
        primary_key=KEYS[table],
        columns={
            name: {"data_type": _kind(name), "nullable": name not in KEYS[table]}
            for name in columns
        },
        file_format="csv",
        max_table_nesting=0,
    )


def _kind(column: str) -> Any:
    if column in _NUMBERS:
        return "bigint"
    return "text" if column in _TEXTS else "bool"
