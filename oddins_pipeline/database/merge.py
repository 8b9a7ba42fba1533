"""One set-based statement per table: insert what is missing, update what differs, delist
what is gone, and write the change feed, counting each.

Rows that are the same are left out by a join before anything is touched: no row version, no
lock and no identity value is spent on them (ON CONFLICT would burn one each).
"""

# ruff: noqa: S608 - identifiers come from the definitions below, values are bound or staged

from __future__ import annotations

from dataclasses import dataclass, field

from oddins_pipeline.database.connection import Connection


@dataclass(frozen=True)
class Counts:
    """What happened to one table's rows."""

    received: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    delisted: int = 0


@dataclass(frozen=True)
class Merge:
    """How staged rows `s` become rows `t` of `table`.

    `source` selects the staged rows with the table's own columns (and those of `match`),
    `match` joins the two, `once` are columns given at the insert and never changed,
    `natural_key` names a row for people, over the jsonb `r` of its columns, and `gone` tells
    which listed rows a full answer no longer has (None: this table has no `delisted_at`).
    """

    table: str
    source: str
    match: str
    columns: tuple[str, ...]
    natural_key: str
    id_column: str = "id"
    keys: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    gone: str | None = None
    order: str = "1"
    values: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        fixed = {*self.keys, *self.once}
        object.__setattr__(self, "values", tuple(c for c in self.columns if c not in fixed))


_UNSEEN = "'{id,created_at,updated_at,delisted_at}'::text[]"


def merge(connection: Connection, step: Merge, *, delist: bool, feed_payload: int | None) -> Counts:
    """Runs one merge; `feed_payload` is the payload that the feed names, None for no feed."""
    row = connection.execute(
        _statement(step, delist=delist and step.gone is not None, feed=feed_payload is not None),
        {"payload": feed_payload} if feed_payload is not None else None,
    ).fetchone()
    assert row is not None
    received, inserted, updated, delisted = (int(str(value)) for value in row)
    return Counts(received, inserted, updated, received - inserted - updated, delisted)


def _statement(step: Merge, *, delist: bool, feed: bool) -> str:
    listed = step.gone is not None
    old = ", ".join(f"t.{c}" for c in step.values)
    new = ", ".join(f"s.{c}" for c in step.values)
    changes = ", ".join(f"{c} = d.{c}" for c in step.values)
    columns = ", ".join(step.columns)
    relisted = "t.delisted_at IS NOT NULL" if listed else "false"
    unlist = ", delisted_at = NULL" if listed else ""
    before = f", to_jsonb(t) - {_UNSEEN} AS before_row" if feed else ""
    after = f", to_jsonb(t) - {_UNSEEN} AS after_row" if feed else ""
    parts = [
        f"source AS MATERIALIZED ({step.source})",
        f"""diff AS MATERIALIZED (
            SELECT s.*, t.{step.id_column} AS row_id, {relisted} AS relisted{before}
            FROM source s LEFT JOIN {step.table} t ON {step.match}
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
    if delist:
        parts.append(
            f"""delisted AS (
            UPDATE {step.table} t SET delisted_at = now(), updated_at = now()
            WHERE t.delisted_at IS NULL AND {step.gone}
            RETURNING t.{step.id_column} AS row_id{after})"""
        )
    if feed:
        parts.append(_feed(step, delist=delist))
    gone = "(SELECT count(*) FROM delisted)" if delist else "0"
    return (
        f"WITH {', '.join(parts)} SELECT (SELECT count(*) FROM source),"
        f" (SELECT count(*) FROM inserted), (SELECT count(*) FROM updated), {gone}"
    )


def _feed(step: Merge, *, delist: bool) -> str:
    """`changed` holds only what differs; `added` and `relisted` the whole row after,
    `delisted` the whole row before.
    """
    gone = (
        "UNION ALL SELECT 4, row_id, 'delisted', after_row, after_row, NULL FROM delisted"
        if delist
        else ""
    )
    return f"""feed AS (
        INSERT INTO catalog_changes
            (payload_id, entity, row_id, natural_key, change, before, after)
        SELECT %(payload)s, '{step.table}', row_id, {step.natural_key}, change, before, after
        FROM (
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
            FROM updated WHERE NOT relisted
            {gone}
        ) AS happened
        ORDER BY rank, row_id
        RETURNING 1)"""
