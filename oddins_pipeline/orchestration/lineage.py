"""Which fields of the provider's answer each column comes from, as the page draws it."""

import dagster as dg

from oddins_pipeline.orchestration.runs import RAW

_FLAGS = {
    "fixtures_events": "seasons[].coverage.fixtures.events",
    "fixtures_lineups": "seasons[].coverage.fixtures.lineups",
    "fixtures_statistics": "seasons[].coverage.fixtures.statistics_fixtures",
    "fixtures_player_statistics": "seasons[].coverage.fixtures.statistics_players",
    **{
        flag: f"seasons[].coverage.{flag}"
        for flag in ("standings", "players", "top_scorers", "top_assists", "top_cards")
    },
    **{flag: f"seasons[].coverage.{flag}" for flag in ("injuries", "predictions", "odds")},
}

SOURCES: dict[str, dict[str, tuple[str, ...]]] = {
    "countries": {
        "name": ("country.name",),
        "code": ("country.code",),
        "flag_url": ("country.flag",),
    },
    "leagues": {
        "country_id": ("country.name",),
        "provider_league_id": ("league.id",),
        "name": ("league.name",),
        "type": ("league.type",),
        "slug": ("country.name", "league.name", "league.id"),
        "logo_url": ("league.logo",),
    },
    "seasons": {
        "league_id": ("league.id",),
        "year": ("seasons[].year",),
        "start_date": ("seasons[].start",),
        "end_date": ("seasons[].end",),
        "is_current": ("seasons[].current",),
    },
    "season_coverage": {
        "season_id": ("league.id", "seasons[].year"),
        "fixtures": tuple(field for flag, field in _FLAGS.items() if flag.startswith("fixtures")),
        **{flag: (field,) for flag, field in _FLAGS.items()},
    },
}

LINEAGE = {
    table: dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=RAW, column_name=field) for field in fields]
            for column, fields in columns.items()
        }
    )
    for table, columns in SOURCES.items()
}

_KINDS = {"id": "integer", "year": "integer", "start": "date", "end": "date", "current": "boolean"}


def _kind(field: str) -> str:
    if ".coverage." in field:
        return "boolean"
    return _KINDS.get(field.rpartition(".")[2], "text")


_FIELDS = dict.fromkeys(
    field for columns in SOURCES.values() for fields in columns.values() for field in fields
)

ANSWER = dg.TableSchema(
    columns=[
        dg.TableColumn(name=field, type=_kind(field), description=f"response[].{field}")
        for field in _FIELDS
    ]
)
"""The fields of an answer's `response` that the catalog is made of."""
