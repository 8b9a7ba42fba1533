"""The change feed, newest first, with the names of leagues and countries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.database.connection import Connection, database_errors

LIST_TABLES = frozenset(spec.name for spec in LISTS)
VIEWS = ("coverage_switches", "season_rollovers", "league_renames", "season_activity")
"""The feed's common questions, and what is in progress today: see migration 0005."""


@dataclass(frozen=True)
class ChangeFilter:
    """Which changes: `league` is a provider league id, and means its seasons' and their
    coverage's changes too; `payload_id` means that response's latest publication; `limit` keeps
    the newest.
    """

    limit: int
    since: datetime | None = None
    entity: str | None = None
    league: int | None = None
    payload_id: int | None = None

    @property
    def condition(self) -> sql.Composable:
        """The rows of `catalog_changes` that are wanted; values are bound by name."""
        parts = [sql.SQL("true")]
        if self.since is not None:
            parts.append(sql.SQL("changed_at >= %(since)s"))
        if self.entity is not None:
            parts.append(sql.SQL("entity = %(entity)s"))
        if self.payload_id is not None:
            # A publication and its changes have the same time.
            parts.append(
                sql.SQL(
                    "changed_at = (SELECT published_at FROM provider_payloads"
                    " WHERE id = %(payload_id)s)"
                )
            )
        if self.league is not None:
            parts.append(
                sql.SQL(
                    "(entity = 'leagues' AND natural_key = %(league)s"
                    " OR entity IN ('seasons', 'season_coverage') AND natural_key LIKE %(seasons)s)"
                )
            )
        return sql.SQL(" AND ").join(parts)

    @property
    def values(self) -> dict[str, Any]:
        """What the condition binds."""
        league = str(self.league)
        return {**vars(self), "league": league, "seasons": f"{league}/%"}


# The names are looked up for the rows that are shown, not for the whole feed.
_QUERY = sql.SQL("""
WITH wanted AS (
    SELECT * FROM catalog_changes WHERE {} ORDER BY changed_at DESC, id DESC LIMIT %(limit)s)
SELECT w.id, w.payload_id, w.changed_at, w.entity, w.row_id, w.natural_key, w.change,
       w.before, w.after, l.name AS league, n.name AS country, old.name AS old_country
FROM wanted w
LEFT JOIN seasons s ON w.entity IN ('seasons', 'season_coverage') AND s.id = w.row_id
LEFT JOIN leagues l
    ON l.id = CASE w.entity WHEN 'leagues' THEN w.row_id ELSE s.league_id END
LEFT JOIN countries n ON n.id = coalesce((w.after ->> 'country_id')::bigint, l.country_id)
LEFT JOIN countries old ON old.id = (w.before ->> 'country_id')::bigint
ORDER BY w.changed_at DESC, w.id DESC
""")


def query(wanted: ChangeFilter) -> sql.Composed:
    """The statement; its values are `wanted.values`."""
    return _QUERY.format(wanted.condition)


def changes(connection: Connection, wanted: ChangeFilter) -> list[dict[str, Any]]:
    """The wanted changes as dicts of plain values, the newest first. Raises DatabaseError."""
    with database_errors(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query(wanted), wanted.values).fetchall()


def describe_change(change: dict[str, Any]) -> str:
    """What happened to the row, in a few words: `odds off -> on`.

    The provider's text is quoted verbatim: the caller escapes it for its output.
    """
    if change["change"] == "loaded":
        return "initial load; changes are recorded from here on"
    if change["change"] == "changed":
        return ", ".join(_difference(column, change) for column in sorted(change["after"]))
    row = change["after"] or change["before"] or {}
    return f"{change['change']}{_summary(change['entity'], row)}"


def _difference(column: str, change: dict[str, Any]) -> str:
    before, after = change["before"].get(column), change["after"][column]
    if column == "country_id":
        return f"country {change['old_country']} -> {change['country']}"
    if change["entity"] == "season_coverage":
        return f"{column} {_SWITCH[before]} -> {_SWITCH[after]}"
    return f"{column} {_shown(before)} -> {_shown(after)}"


_SWITCH = {True: "on", False: "off", None: "unknown"}


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _summary(entity: str, row: dict[str, Any]) -> str:
    """What identifies a new or delisted row, after a colon; or nothing."""
    if entity in LIST_TABLES:
        words = [str(row["name"])] if row.get("name") else []
    elif entity == "countries":
        words = [f"code {row['code']}"] if row.get("code") else []
    elif entity == "leagues":
        words = [row["type"]] if row.get("type") else []
    elif entity == "seasons":
        words = [f"{_shown(row.get('start_date'))} to {_shown(row.get('end_date'))}"]
        words += ["current"] if row.get("is_current") else []
    else:
        on = [flag for flag, value in row.items() if value is True and "_" not in flag]
        words = [f"{', '.join(sorted(on))} on" if on else "nothing on"]
    return f": {', '.join(words)}" if words else ""
