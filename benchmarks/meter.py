"""What a load changed in the database, by the server's counters."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from benchmarks.responses import COLUMNS

_SNAPSHOT = """
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
       coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint,
       coalesce(sum(n_dead_tup), 0)::bigint,
       (SELECT coalesce(sum(last_value), 0) FROM pg_sequences
        WHERE schemaname = %(schema)s AND sequencename = ANY(%(sequences)s))::bigint
FROM pg_stat_user_tables WHERE schemaname = %(schema)s AND relname = ANY(%(tables)s)
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
MAX_WAIT = 10.0


@dataclass(frozen=True)
class Snapshot:
    """Counters of the four tables of one schema; WAL in bytes, of the whole server."""

    wal: int
    inserted: int
    rewritten: int
    dead: int
    identities: int

    def __sub__(self, before: Snapshot) -> Snapshot:
        """The difference between two snapshots."""
        return Snapshot(
            self.wal - before.wal,
            self.inserted - before.inserted,
            self.rewritten - before.rewritten,
            self.dead - before.dead,
            self.identities - before.identities,
        )


def snapshot(url: str, schema: str) -> Snapshot:
    """The counters, once every other session has ended: a session reports its own at its end."""
    with psycopg.connect(url, autocommit=True) as connection:
        deadline = time.monotonic() + MAX_WAIT
        while time.monotonic() < deadline:
            others = connection.execute(_OTHERS).fetchone()
            if others == (0,):
                break
            time.sleep(0.02)
        row = connection.execute(
            _SNAPSHOT,
            {
                "schema": schema,
                "tables": list(COLUMNS),
                "sequences": [f"{table}_id_seq" for table in COLUMNS],
            },
        ).fetchone()
    assert row is not None
    return Snapshot(*row)
