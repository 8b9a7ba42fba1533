"""One definition per table, in SQLAlchemy Core.

The UI's column schemas and lineage, the staging tables, the columns of the merges and the
documentation derive from these; a test and `oddins doctor` compare them with the live database.
Consumers may import them: `from oddins_pipeline.schema import leagues`. Migrations do not.

`Table.info["doc"]` describes a table, `Column.doc` a column, and `Column.info["fields"]` names the
fields of the provider's response that the column comes from.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.catalog.season_range import FIRST_STORED, LAST_STORED

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

NOT_COMPARED = frozenset({"id", "delisted_at", "created_at", "updated_at"})
"""Columns that no response says anything about: not merged, and not in the feed's rows."""

NOW, CLOCK, EMPTY = text("now()"), text("clock_timestamp()"), text("'{}'")
REQUESTED, ZERO, ROLE = text("'requested'"), text("0"), text("SESSION_USER")


def _col(name: str, kind: Any, doc: str, *fields: str, **options: Any) -> Column[Any]:
    """A column that comes from `fields` of the response; not null unless it says so."""
    options.setdefault("nullable", False)
    return Column(name, kind, doc=doc, info={"fields": fields}, **options)


def _opt(name: str, kind: Any, doc: str, *fields: str) -> Column[Any]:
    """A column that may be null."""
    return _col(name, kind, doc, *fields, nullable=True)


def _ref(name: str, target: Any, doc: str, *fields: str, **options: Any) -> Column[Any]:
    """A reference to the primary key of another table; not null."""
    key, info = ForeignKey(target), {"fields": fields}
    return Column(name, BigInteger, key, nullable=False, doc=doc, info=info, **options)


def _id() -> Column[Any]:
    always = Identity(always=True)
    return Column("id", BigInteger, always, primary_key=True, doc="identity", info={"fields": ()})


def _table(name: str, doc: str, *items: Any) -> Table:
    return Table(name, metadata, *items, info={"doc": doc})


def _time(name: str, doc: str, default: Any = None) -> Column[Any]:
    """A moment; it may be null when it has no default."""
    kind = DateTime(timezone=True)
    return _col(name, kind, doc, nullable=default is None, server_default=default)


def _timestamps(*, delisted: bool = True) -> tuple[Column[Any], ...]:
    listed = _time("delisted_at", "since when full responses no longer list it; null while listed")
    return (
        *([listed] if delisted else []),
        _time("created_at", "when the row was inserted", NOW),
        _time("updated_at", "when a value that a reader sees last changed", NOW),
    )


countries = _table(
    "countries",
    "The countries that host competitions, and `World`. A renamed country keeps its `id`.",
    _id(),
    _col("name", Text, "unique; stable but for renames", "country.name"),
    _opt("code", Text, "up to 6 characters, neither unique nor stable", "country.code"),
    _opt("flag_url", Text, "canonical media address", "country.flag"),
    *_timestamps(),
    UniqueConstraint("name"),
)

leagues = _table(
    "leagues",
    "The competitions, leagues and cups alike. `slug` never changes, so links may rely on it.",
    _id(),
    _ref("country_id", countries.c.id, "the league's country", "country.name"),
    _col("provider_league_id", Integer, "the provider's id", "league.id"),
    _col("name", Text, "neither unique nor stable", "league.name"),
    _opt("type", Text, "`League` or `Cup`", "league.type"),
    _col("slug", Text, "never changed", "country.name", "league.name", "league.id"),
    _opt("logo_url", Text, "canonical media address", "league.logo"),
    *_timestamps(),
    UniqueConstraint("provider_league_id"),
    UniqueConstraint("slug"),
    Index("leagues_country_id", "country_id"),
)

seasons = _table(
    "seasons",
    "One row for each league and year. A current season need not be in progress today: see the view"
    " `season_activity`.",
    _id(),
    _ref("league_id", leagues.c.id, "the season's league", "league.id"),
    _col("year", Integer, "the provider's name of the season", "seasons[].year"),
    _opt("start_date", Date, "first day, null when unknown", "seasons[].start"),
    _opt("end_date", Date, "last day, null when unknown", "seasons[].end"),
    _col("is_current", Boolean, "the provider's current or last season", "seasons[].current"),
    *_timestamps(),
    UniqueConstraint("league_id", "year"),
    Index("seasons_current", "league_id", postgresql_where=text("is_current")),
)

_FIXTURES = "seasons[].coverage.fixtures"
_FIELDS = ("events", "lineups", "statistics_fixtures", "statistics_players")
_FOUR = tuple(f"{_FIXTURES}.{field}" for field in _FIELDS)


def _flag(name: str, *fields: str) -> Column[Any]:
    fields = fields or (f"seasons[].coverage.{name}",)
    return _opt(name, Boolean, "null when unknown", *fields)


season_coverage = _table(
    "season_coverage",
    "What the provider covers in each season, one row each; null means unknown.",
    _ref("season_id", seasons.c.id, "the season", "league.id", "seasons[].year", primary_key=True),
    _flag("fixtures", *_FOUR),
    _flag("fixtures_events", _FOUR[0]),
    _flag("fixtures_lineups", _FOUR[1]),
    _flag("fixtures_statistics", _FOUR[2]),
    _flag("fixtures_player_statistics", _FOUR[3]),
    _flag("standings"),
    _flag("players"),
    _flag("top_scorers"),
    _flag("top_assists"),
    _flag("top_cards"),
    _flag("injuries"),
    _flag("predictions"),
    _flag("odds"),
    *_timestamps(delisted=False),
)

provider_sources = _table(
    "provider_sources",
    "Where responses come from: the provider, or the sample provider.",
    _id(),
    _col("name", Text, "`api-football` or `api-football-sample`"),
    _col("base_url", Text, "the last known address, for information"),
    _time("created_at", "when the row was inserted", NOW),
    UniqueConstraint("name"),
)

provider_payloads = _table(
    "provider_payloads",
    "Raw provider responses and their publication status.",
    _id(),
    _ref("source_id", provider_sources.c.id, "where it came from"),
    _col("entity", Text, "which list was requested"),
    _col(
        "params", JSONB, "the request's parameters; `{}` is a full response", server_default=EMPTY
    ),
    _col("fetched_at", DateTime(timezone=True), "when the response was complete"),
    _col("last_seen_at", DateTime(timezone=True), "when the provider last sent the same content"),
    _opt("body", LargeBinary, "the bytes as received, zlib; null once retention emptied it"),
    _col("bytes", BigInteger, "their number before compression"),
    _col("sha256", Text, "canonical: independent of element order"),
    _col("results", Integer, "entries in the response"),
    _time("published_at", "when the tables last took it over; null when never"),
    _opt("refusal", Text, "why it was rejected"),
    _opt("refusal_code", Text, "`envelope`, `mismatched`, `empty`, `shrunken` or `quarantine`"),
    _opt("run_id", Text, "the Dagster run that fetched it"),
    _time("first_published_at", "when it was first published; a replay keeps it"),
    Index("provider_payloads_published", "id", postgresql_where=text("published_at IS NOT NULL")),
    Index("provider_payloads_run_id", "run_id"),
)

provider_sync_state = _table(
    "provider_sync_state",
    "Per entity: the last success and the last error.",
    _ref("source_id", provider_sources.c.id, "the source", primary_key=True),
    _col("entity", Text, "the entity, or its partial syncs", primary_key=True),
    _time("last_synced_at", "when the last accepted response was fetched"),
    _time("last_success_at", "when a response was last published or confirmed"),
    _opt("cursor", JSONB, "`payload_id`, `sha256`, `normaliser`, `counts` per table"),
    _time("last_error_at", "when the last error happened"),
    _opt("last_error", Text, "one line, redacted, at most 1,000 characters"),
    CheckConstraint("length(last_error) <= 1000", name="provider_sync_state_last_error_check"),
)

provider_requests = _table(
    "provider_requests",
    "One row per request, committed before it is sent and completed after.",
    _id(),
    _time("requested_at", "when it was sent", CLOCK),
    _col("path", Text, "such as `/leagues`"),
    _col("params", JSONB, "query parameters", server_default=EMPTY),
    _time("completed_at", "when the response was complete"),
    _opt("http_status", Integer, "null without a response"),
    _opt("outcome", Text, "`ok` or the error's code; null while in progress"),
    _opt("day_limit", Integer, "requests a day, by the headers"),
    _opt("day_remaining", Integer, "requests left today, by the headers"),
    _opt("minute_limit", Integer, "requests a minute, by the headers"),
    _opt("minute_remaining", Integer, "requests left this minute, by the headers"),
    _opt("run_id", Text, "the Dagster run that sent it"),
    Index("provider_requests_requested_at", "requested_at"),
)

provider_subscription = _table(
    "provider_subscription",
    "When the subscription ends, as last reported by the provider: one row.",
    _col("only_row", Boolean, "always true", primary_key=True, server_default=text("true")),
    _time("seen_at", "when the provider reported it", CLOCK),
    _opt("plan", Text, "the plan's name"),
    _time("ends_at", "when it ends"),
    _col("active", Boolean, "whether it is active"),
    CheckConstraint("only_row", name="provider_subscription_only_row_check"),
)

catalog_changes = _table(
    "catalog_changes",
    "The change feed. `id` grows in commit order: a consumer polls `id > n`.",
    _id(),
    _ref("payload_id", provider_payloads.c.id, "the response that changed the row"),
    _time("changed_at", "when it was published", NOW),
    _col("entity", Text, "the table"),
    _opt("row_id", BigInteger, "the row's `id`; for coverage its `season_id`"),
    _opt("natural_key", Text, "for people: `England`, `39`, `39/2024`"),
    _col("change", Text, "`loaded`, `added`, `changed`, `delisted` or `relisted`"),
    _opt("before", JSONB, "column → value; of `changed` only what differs"),
    _opt("after", JSONB, "column → value; of `changed` only what differs"),
    Index("catalog_changes_changed_at", "changed_at", "id"),
    Index("catalog_changes_entity", "entity", "changed_at", "id"),
    Index("catalog_changes_row_id", "entity", "row_id"),
    Index(
        "catalog_changes_natural_key",
        "natural_key",
        postgresql_ops={"natural_key": "text_pattern_ops"},
    ),
    CheckConstraint(
        "change IN ('loaded', 'added', 'changed', 'delisted', 'relisted')",
        name="catalog_changes_change_check",
    ),
)

payload_anomalies = _table(
    "payload_anomalies",
    "What was unusual in a response: duplicates resolved, items quarantined, unknown fields.",
    _id(),
    _ref("payload_id", provider_payloads.c.id, "the response"),
    _col("kind", Text, "such as `duplicate_season`"),
    _col("detail", JSONB, "what and where"),
    Index("payload_anomalies_payload_id", "payload_id"),
)

_STATUSES = "'requested', 'running', 'done', 'failed'"

backfill_requests = _table(
    "backfill_requests",
    "Seasons to fetch; an INSERT of `season` alone suffices.",
    _id(),
    _col("season", Integer, "the year"),
    _time("requested_at", "when it was requested", NOW),
    _col("requested_by", Text, "the role", server_default=ROLE),
    _col("status", Text, "`requested`, `running`, `done` or `failed`", server_default=REQUESTED),
    _col("attempts", Integer, "attempts begun, at most 5", server_default=ZERO),
    _time("next_attempt_at", "when the next attempt is due", NOW),
    _opt("run_id", Text, "the run that works on it, or did"),
    _opt("error", Text, "why the last attempt failed"),
    Index(
        "backfill_requests_one_open",
        "season",
        unique=True,
        postgresql_where=text("status IN ('requested', 'running')"),
    ),
    CheckConstraint(
        f"season BETWEEN {FIRST_STORED} AND {LAST_STORED}", name="backfill_requests_season_check"
    ),
    CheckConstraint(f"status IN ({_STATUSES})", name="backfill_requests_status_check"),
    CheckConstraint("attempts BETWEEN 0 AND 5", name="backfill_requests_attempts_check"),
    CheckConstraint("length(error) <= 1000", name="backfill_requests_error_check"),
)


watched_leagues = _table(
    "watched_leagues",
    "The leagues whose changes become events; with no row, all of them.",
    Column("provider_league_id", Integer, primary_key=True, autoincrement=False, doc="the league"),
    _opt("note", Text, "why it is watched"),
    _time("watched_since", "when it was added", NOW),
)

webhook_receivers = _table(
    "webhook_receivers",
    "Where events are sent. It holds secrets: never granted by `oddins db grant-read`.",
    _id(),
    _col("name", Text, "unique"),
    _opt("url", Text, "secret; null means ODDINS_WEBHOOK_URL"),
    _opt("secret", Text, "signs each message"),
    _col("cursor", BigInteger, "the last change of the feed that was delivered"),
    _col("events_cursor", BigInteger, "the last row of `webhook_events` that was delivered"),
    _time("delivered_at", "when an event was last accepted"),
    _time("failing_since", "since when attempts fail"),
    _time("next_attempt_at", "when a failed delivery is retried"),
    _time("suspended_at", "since when nothing is sent any more"),
    _opt("last_error", Text, "why the last attempt failed"),
    UniqueConstraint("name"),
)

webhook_events = _table(
    "webhook_events",
    "The outbox: events of the sync state, written in the transaction that changes it.",
    _id(),
    _time("at", "when it happened", CLOCK),
    _col("type", Text, "such as `sync_failed`"),
    _opt("entity", Text, "the sync state that it is about"),
    _col("text", Text, "one sentence"),
    _col("facts", JSONB, "name → value", server_default=EMPTY),
    Index("webhook_events_type", "type", "entity", "id"),
)


def _list_table(spec: ReferenceList) -> Table:
    """The table of a reference list: the provider's id and the declared columns, all nullable."""
    kinds = {"text": Text, "integer": Integer, "boolean": Boolean, "date": Date}
    return _table(
        spec.name,
        spec.description,
        _id(),
        _col(spec.key, Integer, "the provider's id", "id"),
        *(_opt(name, kinds[kind], doc, field) for name, kind, doc, field in spec.columns),
        *_timestamps(),
        UniqueConstraint(spec.key),
    )


CATALOG = {table.name: table for table in (countries, leagues, seasons, season_coverage)}
"""The published tables, parents first, then the reference lists'."""
CATALOG |= {spec.name: _list_table(spec) for spec in LISTS}
bookmakers, bets = CATALOG["bookmakers"], CATALOG["bets"]


def merged_columns(table: Table) -> tuple[str, ...]:
    """The columns that a response fills, in the table's order."""
    return tuple(column.name for column in table.columns if column.name not in NOT_COMPARED)


def unique_columns(table: Table) -> frozenset[str]:
    """The columns that are unique by themselves."""
    keys = [c for c in table.constraints if isinstance(c, UniqueConstraint)] + [table.primary_key]
    return frozenset(key.columns.keys()[0] for key in keys if len(key.columns) == 1)
