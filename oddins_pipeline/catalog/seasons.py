"""Parse one season; 90 % of normalisation time is spent here."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from operator import attrgetter, itemgetter

from oddins_pipeline.catalog.models import (
    Coverage,
    FixtureCoverage,
    Season,
    validate_season,
    validate_season_values,
)
from oddins_pipeline.catalog.response import Entry
from oddins_pipeline.catalog.rows import SeasonRow

_SEASON = itemgetter(*Season.__slots__)
_COVERAGE = itemgetter(*Coverage.__slots__)
_FIXTURES = itemgetter(*FixtureCoverage.__slots__)


def parse_fast(league_id: int, raw: Entry) -> SeasonRow | None:
    """The row of a season that has every documented field and no other, as nearly all have.

    None when `raw` is not such a season or its values are wrong: `season_row` raises the reason.
    """
    try:
        season = _SEASON(raw)
        coverage = season[-1]
        flags = _COVERAGE(coverage)
        four = _FIXTURES(flags[0])
        if (len(raw), len(coverage), len(flags[0])) != _FIELDS:
            return None
        year, start, end, current, *rest = validate_season_values(season[:-1] + four + flags[1:])
        start, end = _real_date(start), _real_date(end)
    except (KeyError, TypeError, ValueError):
        return None
    any_flag = True in four or _any_flag(four)
    return _row(SeasonRow, (league_id, year, start, end, current is True, any_flag, *rest))


_row = tuple.__new__  # what SeasonRow._make calls, without the call
_FIELDS = (len(Season.__slots__), len(Coverage.__slots__), len(FixtureCoverage.__slots__))


_UNKNOWN = (None,) * len(Coverage.__slots__)
_NO_FIXTURES = (None,) * len(FixtureCoverage.__slots__)
_coverage_values = attrgetter(*Coverage.__slots__)
_fixture_values = attrgetter(*FixtureCoverage.__slots__)


def season_row(league_id: int, raw: Entry) -> SeasonRow:
    """The row of any season that the models accept. Raises ValueError."""
    season = validate_season(raw)
    fixtures, *rest = _coverage_values(season.coverage) if season.coverage else _UNKNOWN
    four = _fixture_values(fixtures) if fixtures else _NO_FIXTURES
    return SeasonRow(
        league_id,
        season.year,
        _real_date(season.start),
        _real_date(season.end),
        bool(season.current),
        _any_flag(four),
        *four,
        *rest,
    )


def _any_flag(flags: tuple[bool | None, ...]) -> bool | None:
    """True when any is, unknown when all are, else false."""
    if True in flags:
        return True
    return False if False in flags else None


@lru_cache(maxsize=8_192)
def _real_date(text: str | None) -> str | None:
    """`text` when it is a calendar date. Raises ValueError."""
    if text is not None:
        date.fromisoformat(text)
    return text
