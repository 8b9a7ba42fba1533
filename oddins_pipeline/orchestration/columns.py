"""Column schemas of the catalog's tables, as the page shows them."""

import dagster as dg

Described = tuple[str, str, str]

_HOUSEKEEPING: tuple[Described, ...] = (
    ("created_at", "timestamptz", "when the row was first written"),
    ("updated_at", "timestamptz", "when a value that a reader sees last changed"),
)
_DELISTED: Described = (
    "delisted_at",
    "timestamptz",
    "since when full answers no longer list it; null while listed",
)
_ID: Described = ("id", "bigint", "identity")

_FLAGS = {
    "fixtures": "any of the four fixture flags; null when all are unknown",
    "fixtures_events": "coverage.fixtures.events",
    "fixtures_lineups": "coverage.fixtures.lineups",
    "fixtures_statistics": "coverage.fixtures.statistics_fixtures",
    "fixtures_player_statistics": "coverage.fixtures.statistics_players",
    "standings": "coverage.standings",
    "players": "coverage.players",
    "top_scorers": "coverage.top_scorers",
    "top_assists": "coverage.top_assists",
    "top_cards": "coverage.top_cards",
    "injuries": "coverage.injuries",
    "predictions": "coverage.predictions",
    "odds": "coverage.odds",
}

_TABLES: dict[str, tuple[Described, ...]] = {
    "countries": (
        _ID,
        ("name", "text", "unique in an answer; country.name"),
        ("code", "text", "up to 6 characters, neither unique nor stable; country.code"),
        ("flag_url", "text", "canonical media address; country.flag"),
        _DELISTED,
    ),
    "leagues": (
        _ID,
        ("country_id", "bigint", "the league's country"),
        ("provider_league_id", "integer", "the provider's id, unique; league.id"),
        ("name", "text", "neither unique nor stable; league.name"),
        ("type", "text", "League or Cup; league.type"),
        ("slug", "text", "unique, given once, never changed"),
        ("logo_url", "text", "canonical media address; league.logo"),
        _DELISTED,
    ),
    "seasons": (
        _ID,
        ("league_id", "bigint", "the season's league"),
        ("year", "integer", "the provider's name of the season, not a calendar year"),
        ("start_date", "date", "first day, may be unknown; seasons[].start"),
        ("end_date", "date", "last day, may be unknown; seasons[].end"),
        ("is_current", "boolean", "the provider's current or last known season"),
        _DELISTED,
    ),
    "season_coverage": (
        ("season_id", "bigint", "the season, exactly one row each"),
        *((name, "boolean", f"{source}; null is unknown") for name, source in _FLAGS.items()),
    ),
}

COLUMNS = {
    table: dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=kind, description=description)
            for name, kind, description in (*columns, *_HOUSEKEEPING)
        ]
    )
    for table, columns in _TABLES.items()
}
