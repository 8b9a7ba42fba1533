"""What a sync needs of its database, asked when it opens: before anything is requested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from oddins_pipeline.catalog.lists import TABLES
from oddins_pipeline.catalog.requests import SAMPLE_SOURCE
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database.connection import (
    TOO_MANY,
    Connection,
    database_errors,
    scalar,
    server_text,
)
from oddins_pipeline.database.payloads import source_mismatch
from oddins_pipeline.database.revision import VERSION_TABLE
from oddins_pipeline.errors import DatabaseError, SchemaError, SourceMismatchError

_WRITE = ("SELECT", "INSERT", "UPDATE")
NEEDED: dict[str, tuple[str, ...]] = {
    VERSION_TABLE: ("SELECT",),
    "provider_sources": _WRITE,
    "provider_payloads": _WRITE,
    "provider_sync_state": _WRITE,
    "provider_subscription": _WRITE,
    "provider_requests": (*_WRITE, "DELETE"),
    "payload_anomalies": ("SELECT", "INSERT", "DELETE"),
    "catalog_changes": ("SELECT", "INSERT"),
    "backfill_requests": ("SELECT", "UPDATE"),
    "webhook_events": ("SELECT", "INSERT", "DELETE"),
    **dict.fromkeys(TABLES, _WRITE),
}
"""Table → the rights that syncs use."""

# What the role may do. Never fails: the system's catalogs are open to every role. A foreign key is
# looked up with the rights of the referenced table's owner. What else stops a write, a publication
# or a trigger, shows only when one is tried: the last column has statements that write nothing.
RIGHTS = f"""
WITH needed AS (
    SELECT c.oid, c.relname, n.rights, c.relowner, c.relnamespace
    FROM json_each('{json.dumps(NEEDED)}') AS n (name, rights)
    JOIN pg_class c ON c.relname = n.name AND c.relnamespace = to_regnamespace('public')),
stored AS (
    SELECT oid, relname, relkind, relnamespace FROM pg_class
    WHERE relnamespace = to_regnamespace('dagster') AND relkind IN ('r', 'S')),
written AS (
    SELECT oid, relname, relnamespace FROM needed
    WHERE EXISTS (SELECT FROM json_array_elements_text(rights) AS r WHERE r = 'UPDATE')
    UNION ALL SELECT oid, relname, relnamespace FROM stored WHERE relkind = 'r'),
referenced AS (
    SELECT DISTINCT t.relname, t.oid, t.relowner
    FROM needed t JOIN pg_constraint f ON f.confrelid = t.oid AND f.contype = 'f'),
missing (grants, place) AS (
    SELECT 'USAGE ON SCHEMA ' || nspname || ' TO ' || quote_ident(current_user), 1
    FROM pg_namespace
    WHERE nspname IN ('public', 'dagster') AND NOT has_schema_privilege(oid, 'USAGE')
    UNION ALL SELECT string_agg(r.name, ', ' ORDER BY r.place) || ' ON ' || needed.relname
        || ' TO ' || quote_ident(current_user), 2
    FROM needed, json_array_elements_text(rights) WITH ORDINALITY AS r (name, place)
    WHERE NOT has_table_privilege(oid, r.name) GROUP BY relname
    UNION ALL SELECT 'SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dagster TO '
        || quote_ident(current_user), 3
    FROM stored, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r (name)
    WHERE relkind = 'r' HAVING NOT bool_and(has_table_privilege(oid, r.name))
    UNION ALL SELECT 'USAGE ON ALL SEQUENCES IN SCHEMA dagster TO ' || quote_ident(current_user), 4
    FROM stored WHERE relkind = 'S' HAVING NOT bool_and(has_sequence_privilege(oid, 'USAGE'))
    UNION ALL SELECT string_agg(r.name, ', ') || ' ON ' || relname || ' TO ' || relowner::regrole, 5
    FROM referenced, unnest(ARRAY['SELECT', 'UPDATE']) AS r (name)
    WHERE NOT has_table_privilege(relowner, oid, r.name) GROUP BY relname, relowner
    UNION SELECT 'USAGE ON SCHEMA public TO ' || relowner::regrole, 6
    FROM referenced WHERE NOT has_schema_privilege(relowner, to_regnamespace('public'), 'USAGE'))
SELECT quote_ident(current_user), quote_ident(current_database()), pg_is_in_recovery(),
    current_setting('transaction_read_only') = 'on',
    has_database_privilege(current_database(), 'TEMP'),
    ARRAY(SELECT grants FROM missing ORDER BY place, grants),
    ARRAY(SELECT oid::regclass::text FROM (
        SELECT oid FROM needed UNION ALL SELECT oid FROM stored WHERE relkind = 'r') AS t
        WHERE row_security_active(oid) ORDER BY 1),
    EXISTS (SELECT FROM needed WHERE relname = '{VERSION_TABLE}'),
    ARRAY(
        SELECT 'CREATE TEMPORARY TABLE attempt () ON COMMIT DROP'
        WHERE EXISTS (SELECT FROM pg_event_trigger)
        UNION ALL SELECT format('UPDATE %s.%I SET %I = %2$I.%3$I WHERE false',
            relnamespace::regnamespace, relname, (
                SELECT attname FROM pg_attribute
                WHERE attrelid = oid AND attnum > 0 AND NOT attisdropped
                    AND attidentity = '' AND attgenerated = '' LIMIT 1))
        FROM written WHERE EXISTS (SELECT FROM pg_publication)
            OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = written.oid AND NOT tgisinternal));
"""  # noqa: S608 - constants

# The revision, and the source that has filled the catalog.
_STATE = f"""
SELECT (SELECT version_num FROM public.{VERSION_TABLE}), s.name, s.base_url
FROM (SELECT) AS one LEFT JOIN (
    SELECT s.name, s.base_url
    FROM provider_payloads p JOIN provider_sources s ON s.id = p.source_id
    WHERE p.published_at IS NOT NULL LIMIT 1) AS s ON true
"""  # noqa: S608 - a constant

# How many further connections the limits of the role, the database and the server allow.
_FREE_CONNECTIONS = """
WITH sessions AS (SELECT * FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL)
SELECT least(
    CASE WHEN NOT rolsuper AND rolconnlimit >= 0
        THEN rolconnlimit - (SELECT count(*) FROM sessions WHERE usesysid = r.oid) END,
    CASE WHEN NOT rolsuper AND datconnlimit >= 0
        THEN datconnlimit - (SELECT count(*) FROM sessions WHERE datid = d.oid) END,
    current_setting('max_connections')::int - (SELECT count(*) FROM sessions)
        - CASE WHEN rolsuper THEN 0
            ELSE current_setting('superuser_reserved_connections')::int END)
FROM pg_roles r, pg_database d
WHERE rolname = session_user AND datname = current_database()
"""


_PREREQUISITE = psycopg.errors.ObjectNotInPrerequisiteState.sqlstate
"""A published table without a replica identity."""


@dataclass(frozen=True)
class Rights:
    """What the role may do; `missing` is of `INSERT, UPDATE ON leagues TO role`, `filtered` names
    tables of which row-level security may hide rows, `attempts` are
    statements that find what rights do not show.
    """

    role: str
    database: str
    is_standby: bool
    is_read_only: bool
    has_temp: bool
    missing: list[str]
    filtered: list[str]
    has_catalog: bool
    attempts: list[str]

    def problems(self) -> Iterator[str]:
        """What stands in a sync's way, each with its fix."""
        if self.is_standby:
            yield (
                "the server is a standby, which nothing can be written to; point DATABASE_URL at"
                " the primary (with several hosts: target_session_attrs=read-write)"
            )
        elif self.is_read_only:
            yield "the server is read-only; make it writable, or point DATABASE_URL at another"
        if not self.has_temp:
            yield (
                f"the role {self.role} may not make temporary tables; as the database's owner:"
                f" GRANT TEMP ON DATABASE {self.database} TO {self.role}"
            )
        if self.missing:
            grants = "; ".join(f"GRANT {right}" for right in self.missing)
            yield f"the role {self.role} lacks rights; as the owner: {grants}"
        if self.filtered:
            yield (
                f"row-level security may hide rows of {', '.join(self.filtered)} from the role"
                f" {self.role}; switch it off (ALTER TABLE … DISABLE ROW LEVEL SECURITY), or, as a"
                f" superuser: ALTER ROLE {self.role} BYPASSRLS"
            )


@dataclass(frozen=True)
class Readiness:
    """The database as it is found; `source` is the name and address of the one that filled it."""

    rights: Rights
    refusal: str | None = None
    revision: str | None = None
    source: tuple[str, str] | None = None

    def problems(self, workspace: Workspace) -> list[str]:
        """What stands in a sync's way, each with its fix."""
        mismatch = self._mismatch(workspace)
        return [*self._problems(), *([str(mismatch)] if mismatch else [])]

    def require(self, workspace: Workspace) -> None:
        """Raises SchemaError, SourceMismatchError."""
        if problems := list(self._problems()):
            raise SchemaError("; ".join(problems))
        if mismatch := self._mismatch(workspace):
            raise mismatch

    def _problems(self) -> Iterator[str]:
        yield from self.rights.problems()
        if self.refusal:
            yield (
                f"a publication or a trigger of this database stops what a sync writes:"
                f" {self.refusal}; drop it, or let it pass the role {self.rights.role}"
            )

    def _mismatch(self, workspace: Workspace) -> SourceMismatchError | None:
        """The error of a workspace whose responses will certainly come from another source.

        Over http the provider may be a sample provider: its responses say so.
        """
        if self.source is None:
            return None
        name, base_url = self.source
        may_be_sample = workspace.base_url.startswith("http:") and base_url.startswith("http:")
        if name == workspace.source or (name == SAMPLE_SOURCE and may_be_sample):
            return None
        return source_mismatch(name, workspace.source)


def load_readiness(
    connection: Connection, rights: psycopg.Cursor[TupleRow] | None = None
) -> Readiness:
    """`rights` is a cursor at the result of RIGHTS, when that was sent before.

    Raises DatabaseError.
    """
    with database_errors():
        row = (rights or connection.execute(RIGHTS)).fetchone()
        assert row is not None
        found = Rights(*row)
        refusal = None if [*found.problems()] else _refusal(connection, found.attempts)
        if not found.has_catalog or found.missing or found.filtered:
            return Readiness(found, refusal)
        state = connection.execute(_STATE).fetchone()
    assert state is not None
    revision, *source = state
    return Readiness(found, refusal, revision, (source[0], source[1]) if source[0] else None)


def _refusal(connection: Connection, statements: list[str]) -> str | None:
    """Why the server refuses a statement; what they do is undone."""
    if not statements:
        return None
    try:
        connection.execute("; ".join(["BEGIN", *statements, "ROLLBACK"]).encode())
    except psycopg.Error as error:
        if isinstance(error, psycopg.OperationalError) and error.sqlstate != _PREREQUISITE:
            raise
        connection.rollback()
        return server_text(error, 300)
    return None


def require_connection(connection: Connection) -> None:
    """Raises DatabaseError when the limits allow no further connection: in the middle of a run,
    Dagster's storage needs a second one.
    """
    with database_errors():
        free = scalar(connection, _FREE_CONNECTIONS)
    if free < 1:
        raise DatabaseError(f"too many connections for role, database or server; {TOO_MANY}")
