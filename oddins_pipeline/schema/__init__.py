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
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.catalog.season_range import FIRST_STORED, LAST_STORED
from oddins_pipeline.schema.columns import (
    CLOCK,
    EMPTY,
    NOW,
    column,
    define,
    identity,
    optional,
    reference,
    row_timestamps,
    timestamp,
)
from oddins_pipeline.schema.columns import metadata as metadata

countries = define(
    "countries",
    "The countries that host competitions, and `World`. A renamed country keeps its `id`.",
    identity(),
    column("name", Text, "unique; stable but for renames", "country.name"),
    optional("code", Text, "up to 6 characters, neither unique nor stable", "country.code"),
    optional("flag_url", Text, "canonical media address", "country.flag"),
    *row_timestamps(),
    UniqueConstraint("name"),
)

leagues = define(
    "leagues",
    "The competitions, leagues and cups alike. `slug` never changes, so links may rely on it.",
    identity(),
    reference("country_id", countries.c.id, "the league's country", "country.name"),
    column("provider_league_id", Integer, "the provider's id", "league.id"),
    column("name", Text, "neither unique nor stable", "league.name"),
    optional("type", Text, "`League` or `Cup`", "league.type"),
    column("slug", Text, "never changed", "country.name", "league.name", "league.id"),
    optional("logo_url", Text, "canonical media address", "league.logo"),
    *row_timestamps(),
    UniqueConstraint("provider_league_id"),
    UniqueConstraint("slug"),
    Index("leagues_country_id", "country_id"),
)

seasons = define(
    "seasons",
    "One row for each league and year. A current season need not be in progress today: see the view"
    " `season_activity`.",
    identity(),
    reference("league_id", leagues.c.id, "the season's league", "league.id"),
    column("year", Integer, "the provider's name of the season", "seasons[].year"),
    optional("start_date", Date, "first day, null when unknown", "seasons[].start"),
    optional("end_date", Date, "last day, null when unknown", "seasons[].end"),
    column("is_current", Boolean, "the provider's current or last season", "seasons[].current"),
    *row_timestamps(),
    UniqueConstraint("league_id", "year"),
    Index("seasons_current", "league_id", postgresql_where=text("is_current")),
)

_FIXTURES = "seasons[].coverage.fixtures"
_FIELDS = ("events", "lineups", "statistics_fixtures", "statistics_players")
_FOUR = tuple(f"{_FIXTURES}.{field}" for field in _FIELDS)


def _flag(name: str, *fields: str) -> Column[Any]:
    fields = fields or (f"seasons[].coverage.{name}",)
    return optional(name, Boolean, "null when unknown", *fields)


season_coverage = define(
    "season_coverage",
    "What the provider covers in each season, one row each; null means unknown.",
    reference(
        "season_id", seasons.c.id, "the season", "league.id", "seasons[].year", primary_key=True
    ),
    _flag("fixtures", *_FOUR),
    _flag("fixtures_events", _FOUR[0]),
    _flag("fixtures_lineups", _FOUR[1]),
    _flag("fixtures_statistics", _FOUR[2]),
    _flag("fixtures_player_statistics", _FOUR[3]),
    *map(_flag, ("standings", "players", "top_scorers", "top_assists", "top_cards", "injuries")),
    *map(_flag, ("predictions", "odds")),
    *row_timestamps(delisted=False),
)

provider_sources = define(
    "provider_sources",
    "Where responses come from: the provider, or the sample provider.",
    identity(),
    column("name", Text, "`api-football` or `api-football-sample`"),
    column("base_url", Text, "the last known address, for information"),
    timestamp("created_at", "when the row was inserted", NOW),
    UniqueConstraint("name"),
)

provider_payloads = define(
    "provider_payloads",
    "Raw provider responses and their publication status.",
    identity(),
    reference("source_id", provider_sources.c.id, "where it came from"),
    column("entity", Text, "which list was requested"),
    column(
        "params", JSONB, "the request's parameters; `{}` is a full response", server_default=EMPTY
    ),
    column("fetched_at", DateTime(timezone=True), "when the response was complete"),
    column("last_seen_at", DateTime(timezone=True), "when the provider last sent the same content"),
    optional("body", LargeBinary, "the bytes as received, zlib; null once retention emptied it"),
    column("bytes", BigInteger, "their number before compression"),
    column("sha256", Text, "canonical: independent of element order"),
    column("results", Integer, "entries in the response"),
    timestamp("published_at", "when the tables last took it over; null when never"),
    optional("refusal", Text, "why it was rejected"),
    optional("refusal_code", Text, "`envelope`, `mismatched`, `empty`, `shrunken` or `quarantine`"),
    optional("run_id", Text, "the Dagster run that fetched it"),
    timestamp("first_published_at", "when it was first published; a replay keeps it"),
    Index("provider_payloads_published", "id", postgresql_where=text("published_at IS NOT NULL")),
    Index("provider_payloads_run_id", "run_id"),
)

provider_sync_state = define(
    "provider_sync_state",
    "Per entity: the last success and the last error.",
    reference("source_id", provider_sources.c.id, "the source", primary_key=True),
    column("entity", Text, "the entity, or its partial syncs", primary_key=True),
    timestamp("last_synced_at", "when the last accepted response was fetched"),
    timestamp("last_success_at", "when a response was last published or confirmed"),
    optional("cursor", JSONB, "`payload_id`, `sha256`, `normaliser`, `counts` per table"),
    timestamp("last_error_at", "when the last error happened"),
    optional("last_error", Text, "one line, redacted, at most 1,000 characters"),
    CheckConstraint("length(last_error) <= 1000", name="provider_sync_state_last_error_check"),
)

provider_requests = define(
    "provider_requests",
    "One row per request, committed before it is sent and completed after.",
    identity(),
    timestamp("requested_at", "when it was sent", CLOCK),
    column("path", Text, "such as `/leagues`"),
    column("params", JSONB, "query parameters", server_default=EMPTY),
    timestamp("completed_at", "when the response was complete"),
    optional("http_status", Integer, "null without a response"),
    optional("outcome", Text, "`ok` or the error's code; null while in progress"),
    optional("day_limit", Integer, "requests a day, by the headers"),
    optional("day_remaining", Integer, "requests left today, by the headers"),
    optional("minute_limit", Integer, "requests a minute, by the headers"),
    optional("minute_remaining", Integer, "requests left this minute, by the headers"),
    optional("run_id", Text, "the Dagster run that sent it"),
    Index("provider_requests_requested_at", "requested_at"),
)

provider_subscription = define(
    "provider_subscription",
    "When the subscription ends, as last reported by the provider: one row.",
    column("only_row", Boolean, "always true", primary_key=True, server_default=text("true")),
    timestamp("seen_at", "when the provider reported it", CLOCK),
    optional("plan", Text, "the plan's name"),
    timestamp("ends_at", "when it ends"),
    column("active", Boolean, "whether it is active"),
    CheckConstraint("only_row", name="provider_subscription_only_row_check"),
)

catalog_changes = define(
    "catalog_changes",
    "The change feed. `id` grows in commit order: a consumer polls `id > n`.",
    identity(),
    reference("payload_id", provider_payloads.c.id, "the response that changed the row"),
    timestamp("changed_at", "when it was published", NOW),
    column("entity", Text, "the table"),
    optional("row_id", BigInteger, "the row's `id`; for coverage its `season_id`"),
    optional("natural_key", Text, "for people: `England`, `39`, `39/2024`"),
    column("change", Text, "`loaded`, `added`, `changed`, `delisted` or `relisted`"),
    optional("before", JSONB, "column → value; of `changed` only what differs"),
    optional("after", JSONB, "column → value; of `changed` only what differs"),
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

payload_anomalies = define(
    "payload_anomalies",
    "What was unusual in a response: duplicates resolved, items quarantined, unknown fields.",
    identity(),
    reference("payload_id", provider_payloads.c.id, "the response"),
    column("kind", Text, "such as `duplicate_season`"),
    column("detail", JSONB, "what and where"),
    Index("payload_anomalies_payload_id", "payload_id"),
)

_STATUSES = "'requested', 'running', 'done', 'failed'"

backfill_requests = define(
    "backfill_requests",
    "Seasons to fetch; an INSERT of `season` alone suffices.",
    identity(),
    column("season", Integer, "the year"),
    timestamp("requested_at", "when it was requested", NOW),
    column("requested_by", Text, "the role", server_default=text("SESSION_USER")),
    column(
        "status",
        Text,
        "`requested`, `running`, `done` or `failed`",
        server_default=text("'requested'"),
    ),
    column("attempts", Integer, "attempts begun, at most 5", server_default=text("0")),
    timestamp("next_attempt_at", "when the next attempt is due", NOW),
    optional("run_id", Text, "the run that works on it, or did"),
    optional("error", Text, "why the last attempt failed"),
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

watched_leagues = define(
    "watched_leagues",
    "The leagues whose changes become events; with no row, all of them.",
    Column("provider_league_id", Integer, primary_key=True, autoincrement=False, doc="the league"),
    optional("note", Text, "why it is watched"),
    timestamp("watched_since", "when it was added", NOW),
)

webhook_receivers = define(
    "webhook_receivers",
    "Where events are sent. It holds secrets: never granted by `oddins db grant-read`.",
    identity(),
    column("name", Text, "unique"),
    optional("url", Text, "secret; null means ODDINS_WEBHOOK_URL"),
    optional("secret", Text, "signs each message"),
    column("cursor", BigInteger, "the last change of the feed that was delivered"),
    column("events_cursor", BigInteger, "the last row of `webhook_events` that was delivered"),
    timestamp("delivered_at", "when an event was last accepted"),
    timestamp("failing_since", "since when attempts fail"),
    timestamp("next_attempt_at", "when a failed delivery is retried"),
    timestamp("suspended_at", "since when nothing is sent any more"),
    optional("last_error", Text, "why the last attempt failed"),
    UniqueConstraint("name"),
)

webhook_events = define(
    "webhook_events",
    "The outbox: events of the sync state, written in the transaction that changes it.",
    identity(),
    timestamp("at", "when it happened", CLOCK),
    column("type", Text, "such as `sync_failed`"),
    optional("entity", Text, "the sync state that it is about"),
    column("text", Text, "one sentence"),
    column("facts", JSONB, "name → value", server_default=EMPTY),
    Index("webhook_events_type", "type", "entity", "id"),
)


def _list_table(spec: ReferenceList) -> Table:
    """The table of a reference list: the provider's id and the declared columns, all nullable."""
    kinds = {"text": Text, "integer": Integer, "boolean": Boolean, "date": Date}
    return define(
        spec.name,
        spec.description,
        identity(),
        column(spec.key, Integer, "the provider's id", "id"),
        *(optional(name, kinds[kind], doc, field) for name, kind, doc, field in spec.columns),
        *row_timestamps(),
        UniqueConstraint(spec.key),
    )


CATALOG = {table.name: table for table in (countries, leagues, seasons, season_coverage)}
"""The published tables, parents first, then the reference lists'."""
CATALOG |= {spec.name: _list_table(spec) for spec in LISTS}
bookmakers, bets = CATALOG["bookmakers"], CATALOG["bets"]
