"""One set-based statement per table: insert what is missing, update what differs, and write the
change feed, counting each; a second one delists what a full response no longer lists.

A join leaves equal rows out before anything is written: they cost no row version, no lock and no
identity value (ON CONFLICT would use up one each).
"""

# ruff: noqa: S608 - identifiers come from the definitions below, values are bound or staged

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from oddins_pipeline.database.connection import Connection, execute_batch


@dataclass(frozen=True)
class Counts:
    """What happened to one table's rows."""

    received: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    delisted: int = 0


TableCounts = dict[str, Counts]
"""Table → counts."""


@dataclass(frozen=True)
class Merge:
    """How staged rows `s` become rows `t` of `table`.

    `source` selects the staged rows with the table's own columns (and those of `match`),
    `match` joins the two, `insert_only` columns are set at the insert and never changed,
    `natural_key` identifies a row for people, over the jsonb `r` of its columns, and `missing` is
    the condition for listed rows that a full response no longer holds (None: the table has no
    `delisted_at`).
    """

    table: str
    source: str
    match: str
    columns: tuple[str, ...]
    natural_key: str
    id_column: str = "id"
    key_columns: tuple[str, ...] = ()
    insert_only: tuple[str, ...] = ()
    missing: str | None = None
    order: str = "1"
    values: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        fixed = {*self.key_columns, *self.insert_only}
        object.__setattr__(self, "values", tuple(c for c in self.columns if c not in fixed))


_VISIBLE = "to_jsonb(t) - '{id,created_at,updated_at,delisted_at}'::text[]"


def merge_all(
    connection: Connection, steps: Mapping[Merge, int], *, feed_payload: int | None
) -> tuple[TableCounts, dict[str, int]]:
    """Merges the staged rows of the steps (parents first, each with the number of rows received) in
    one round trip; `feed_payload` is the payload that the feed names, None for no feed.

    Returns the counts, and how many rows are listed now of each table that lists.
    """
    feed = feed_payload is not None
    listing = [step.table for step in steps if step.missing is not None]
    results = execute_batch(
        connection,
        *((_statement(step, feed=feed), _bound(feed_payload)) for step in steps),
        *((f"SELECT count(*) FROM {table} WHERE delisted_at IS NULL", None) for table in listing),
    )
    counts = {
        step.table: Counts(received, inserted, updated, received - inserted - updated)
        for (step, received), ((inserted, updated),) in zip(steps.items(), results, strict=False)
    }
    listed = {table: n for table, ((n,),) in zip(listing, results[len(steps) :], strict=True)}
    return counts, listed


def delist_all(
    connection: Connection, steps: Sequence[Merge], counts: TableCounts, *, feed_payload: int | None
) -> TableCounts:
    """Delists the rows that are `missing`, in one round trip; returns the counts with that."""
    feed = feed_payload is not None
    queries = [(_delisting(step, feed=feed), _bound(feed_payload)) for step in steps]
    delisted = execute_batch(connection, *queries)
    return counts | {
        step.table: replace(counts[step.table], delisted=n)
        for step, ((n,),) in zip(steps, delisted, strict=True)
    }


def _bound(payload: int | None) -> dict[str, int] | None:
    return {"payload": payload} if payload is not None else None


def _statement(step: Merge, *, feed: bool) -> str:
    listed = step.missing is not None
    old = ", ".join(f"t.{c}" for c in step.values)
    new = ", ".join(f"s.{c}" for c in step.values)
    changes = ", ".join(f"{c} = d.{c}" for c in step.values)
    columns = ", ".join(step.columns)
    relisted = "t.delisted_at IS NOT NULL" if listed else "false"
    unlist = ", delisted_at = NULL" if listed else ""
    before = f", {_VISIBLE} AS before_row" if feed else ""
    after = f", {_VISIBLE} AS after_row" if feed else ""
    parts = [
        f"""diff AS MATERIALIZED (
            SELECT s.*, t.{step.id_column} AS row_id, {relisted} AS relisted{before}
            FROM ({step.source}) s LEFT JOIN {step.table} t ON {step.match}
            WHERE t.{step.id_column} IS NULL OR {relisted} OR ({old}) IS DISTINCT FROM ({new}))""",
        f"""inserted AS (
            INSERT INTO {step.table} AS t ({columns})
            SELECT {columns} FROM diff WHERE row_id IS NULL ORDER BY {step.order}
            RETURNING t.{step.id_column} AS row_id{after})""",
        f"""updated AS (
            UPDATE {step.table} t SET {changes}{unlist}, updated_at = now()
            FROM diff d WHERE t.{step.id_column} = d.row_id
            RETURNING t.{step.id_column} AS row_id, d.relisted
                {", d.before_row" if feed else ""}{after})""",
    ]
    if feed:
        parts.append(_feed(step, _CHANGED))
    return (
        f"WITH {', '.join(parts)}"
        " SELECT (SELECT count(*) FROM inserted), (SELECT count(*) FROM updated)"
    )


def _delisting(step: Merge, *, feed: bool) -> str:
    parts = [
        f"""delisted AS (
            UPDATE {step.table} t SET delisted_at = now(), updated_at = now()
            WHERE t.delisted_at IS NULL AND {step.missing}
            RETURNING t.{step.id_column} AS row_id{f", {_VISIBLE} AS r" if feed else ""})"""
    ]
    if feed:
        parts.append(_feed(step, _DELISTED))
    return f"WITH {', '.join(parts)} SELECT count(*) FROM delisted"


_CHANGED = """
    SELECT 1 AS rank, row_id, 'added' AS change, after_row AS r,
           NULL::jsonb AS before, after_row AS after FROM inserted
    UNION ALL
    SELECT 2, row_id, 'relisted', after_row, NULL, after_row FROM updated WHERE relisted
    UNION ALL
    SELECT 3, row_id, 'changed', after_row,
           (SELECT jsonb_object_agg(o.key, o.value) FROM jsonb_each(before_row) o
            WHERE o.value IS DISTINCT FROM after_row -> o.key),
           (SELECT jsonb_object_agg(n.key, n.value) FROM jsonb_each(after_row) n
            WHERE n.value IS DISTINCT FROM before_row -> n.key)
    FROM updated WHERE NOT relisted"""
"""`changed` holds only what differs; `added` and `relisted` the whole row after."""

_DELISTED = (
    "SELECT 1 AS rank, row_id, 'delisted' AS change, r, r AS before, NULL::jsonb AS after"
    " FROM delisted"
)
"""The whole row before."""


def _feed(step: Merge, happened: str) -> str:
    return f"""feed AS (
        INSERT INTO catalog_changes
            (payload_id, entity, row_id, natural_key, change, before, after)
        SELECT %(payload)s, '{step.table}', row_id, {step.natural_key}, change, before, after
        FROM ({happened}) AS happened
        ORDER BY rank, row_id)"""
