"""Models of one entry of `/leagues`: strict scalars, nulls where the provider has them.

Strictness stands on the scalars: a strict dataclass would refuse the dicts that JSON gives.
Unknown fields are ignored here and reported by `unknown_fields`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from oddins_pipeline.catalog.season_range import FIRST_STORED, LAST_STORED

STRICT = ConfigDict(extra="ignore", hide_input_in_errors=True)

ProviderId = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Year = Annotated[int, Field(strict=True, ge=FIRST_STORED, le=LAST_STORED)]
IsoDate = Annotated[str, Field(strict=True, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Flag = Annotated[bool | None, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]


@dataclass(slots=True)
class FixtureCoverage:
    """`coverage.fixtures`."""

    __pydantic_config__ = STRICT
    events: Flag = None
    lineups: Flag = None
    statistics_fixtures: Flag = None
    statistics_players: Flag = None


@dataclass(slots=True)
class Coverage:
    """`coverage`: a missing or null flag is unknown."""

    __pydantic_config__ = STRICT
    fixtures: FixtureCoverage | None = None
    standings: Flag = None
    players: Flag = None
    top_scorers: Flag = None
    top_assists: Flag = None
    top_cards: Flag = None
    injuries: Flag = None
    predictions: Flag = None
    odds: Flag = None


@dataclass(slots=True)
class Season:
    """One element of `seasons`."""

    __pydantic_config__ = STRICT
    year: Year
    start: IsoDate | None = None
    end: IsoDate | None = None
    current: Flag = None
    coverage: Coverage | None = None


@dataclass(slots=True)
class League:
    """`league`."""

    __pydantic_config__ = STRICT
    id: ProviderId
    name: Text
    type: Text | None = None
    logo: Text | None = None


@dataclass(slots=True)
class Country:
    """`country`."""

    __pydantic_config__ = STRICT
    name: Text
    code: Text | None = None
    flag: Text | None = None


@dataclass(slots=True)
class EntryHeader:
    """An entry without its seasons, which are validated one by one."""

    __pydantic_config__ = STRICT
    league: League
    country: Country


validate_header = TypeAdapter(EntryHeader).validator.validate_python
validate_season = TypeAdapter(Season).validator.validate_python

_FLAGS = len(FixtureCoverage.__slots__) + len(Coverage.__slots__) - 1
_KINDS = (Year, IsoDate | None, IsoDate | None, Flag, *[Flag] * _FLAGS)
SeasonValues: Any = tuple.__class_getitem__(_KINDS)
"""Year, start, end, current, the flags of `fixtures`, the other flags."""
validate_season_values = TypeAdapter(SeasonValues).validator.validate_python

_ENTRY = frozenset({"league", "country", "seasons"})
_KNOWN: dict[str, frozenset[str]] = {
    "league": frozenset(League.__slots__),
    "country": frozenset(Country.__slots__),
}
_SEASON = frozenset(Season.__slots__)
_COVERAGE = frozenset(Coverage.__slots__)
_FIXTURES = frozenset(FixtureCoverage.__slots__)


def unknown_fields(entry: dict[str, Any]) -> set[str]:
    """Paths of fields that no model knows, such as `seasons[].coverage.xg`."""
    found = {key for key in entry if key not in _ENTRY}
    for part, known in _KNOWN.items():
        value = entry.get(part)
        if isinstance(value, dict) and not value.keys() <= known:
            found |= {f"{part}.{key}" for key in value.keys() - known}
    return found


def unknown_season_fields(season: dict[str, Any]) -> set[str]:
    """The same for one season."""
    found: set[str] = set()
    if not season.keys() <= _SEASON:
        found |= {f"seasons[].{key}" for key in season.keys() - _SEASON}
    coverage = season.get("coverage")
    if isinstance(coverage, dict):
        if not coverage.keys() <= _COVERAGE:
            found |= {f"seasons[].coverage.{key}" for key in coverage.keys() - _COVERAGE}
        fixtures = coverage.get("fixtures")
        if isinstance(fixtures, dict) and not fixtures.keys() <= _FIXTURES:
            found |= {f"seasons[].coverage.fixtures.{k}" for k in fixtures.keys() - _FIXTURES}
    return found
