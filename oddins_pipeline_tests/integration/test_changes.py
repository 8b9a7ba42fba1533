"""`oddins changes` and the views: the common questions, as their readers ask them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import psycopg
import pytest

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.cli.changes import moment_of
from oddins_pipeline.database.changes import ChangeFilter, changes, query
from oddins_pipeline.errors import UsageError
from oddins_pipeline_tests.support.core import Core, core_on
from oddins_pipeline_tests.support.large import fill
from oddins_pipeline_tests.support.responses import copied, league, season
from oddins_pipeline_tests.support.service import KEY, Oddins

ENTRIES = [league(39, "England", "GB"), league(390, "England", "GB"), league(7, "World", None)]
NOW = datetime(2026, 4, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def core(any_database: str) -> Iterator[Core]:
    """A catalog with a short past: names, coverage, a new season, a league delisted."""
    with core_on(any_database, min_league_share=0, min_season_share=0) as opened:
        opened.sync(ENTRIES)
        second = copied(ENTRIES)
        second[0]["league"]["name"] = "Premier \u202eLeague"
        second[0]["seasons"][1]["coverage"]["odds"] = True
        second[0]["seasons"][1]["coverage"]["injuries"] = False
        second[1]["seasons"][1]["current"] = False
        second[1]["seasons"].append({**season(2026), "current": True})
        opened.sync(second)
        opened.sync(second[:2])
        yield opened


def test_switched_coverage_is_one_row_a_flag(core: Core) -> None:
    assert core.query(
        "SELECT provider_league_id, country, year, flag, was_on, is_on FROM coverage_switches"
        " ORDER BY flag"
    ) == [
        (39, "England", 2025, "injuries", None, False),
        (39, "England", 2025, "odds", False, True),
    ]


def test_a_rollover_names_the_season_before(core: Core) -> None:
    assert core.query(
        "SELECT provider_league_id, league, previous_year, year FROM season_rollovers"
    ) == [(390, "League 390", 2025, 2026)]


def test_a_new_league_rolls_over_from_nothing(core: Core) -> None:
    core.sync([*ENTRIES, league(8, "World", None)])
    assert core.query(
        "SELECT previous_year, year FROM season_rollovers WHERE provider_league_id = 8"
    ) == [(None, 2025)]


def test_a_renamed_league_reports_both_names(core: Core) -> None:
    assert core.query(
        "SELECT provider_league_id, country, old_name, new_name FROM league_renames"
    ) == [(39, "England", "League 39", "Premier \u202eLeague")]


@pytest.mark.parametrize(
    ("start", "end", "played", "activity"),
    [
        (-10, 10, True, "played"),
        (0, 0, True, "played"),
        (-10, -1, False, "over"),
        (1, 10, False, "ahead"),
        (None, -1, False, "over"),
        (1, None, False, "ahead"),
        (-1, None, None, "unknown"),
        (None, 1, None, "unknown"),
        (None, None, None, "unknown"),
    ],
)
def test_the_dates_report_whether_a_season_is_played_today(
    database: str, start: int | None, end: int | None, played: bool | None, activity: str
) -> None:
    with core_on(database) as core:
        core.sync([league(39, "England", "GB", 2025)])
        core.execute(
            "UPDATE seasons SET start_date = (now() AT TIME ZONE 'UTC')::date + %s::integer,"
            " end_date = (now() AT TIME ZONE 'UTC')::date + %s::integer",
            start,
            end,
        )
        found = core.query("SELECT is_played_today, activity, is_current FROM season_activity")
        assert found == [(played, activity, True)]


def test_a_delisted_season_has_no_activity(core: Core) -> None:
    assert core.query("SELECT DISTINCT provider_league_id FROM season_activity ORDER BY 1") == [
        (39,),
        (390,),
    ]


def shown(oddins: Oddins, url: str, *arguments: str) -> Any:
    done = oddins("changes", *arguments, DATABASE_URL=url, SPORTS_PROVIDER_API_KEY=KEY)
    assert done.code == 0, done.stderr
    return done


def test_changes_reads_well_and_newest_first(core: Core, oddins: Oddins) -> None:
    url = core.url
    lines = shown(oddins, url).stdout.splitlines()
    stamp = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  "
    reported = [re.sub(stamp, "", line) for line in lines]
    switched = "injuries unknown -> off, odds off -> on"
    assert reported == [
        "countries  World  delisted",
        "seasons  League 7 (World) 2025 [7/2025]  delisted: 2025-08-01 to 2026-05-31, current",
        "seasons  League 7 (World) 2024 [7/2024]  delisted: 2024-08-01 to 2025-05-31",
        "leagues  League 7 (World) [7]  delisted: League",
        f"season_coverage  Premier League (England) 2025 [39/2025]  {switched}",
        "season_coverage  League 390 (England) 2026 [390/2026]  added: fixtures, standings on",
        "seasons  League 390 (England) 2025 [390/2025]  is_current yes -> no",
        "seasons  League 390 (England) 2026 [390/2026]  added: 2026-08-01 to 2027-05-31, current",
        "leagues  Premier League (England) [39]  name League 39 -> Premier League",
        *(
            f"{table}  initial load; changes are recorded from here on"
            for table in reversed(LEAGUES.tables)
        ),
    ]


def test_a_league_means_its_seasons_and_their_coverage(core: Core, oddins: Oddins) -> None:
    lines = shown(oddins, core.url, "--league", "39", "--json").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    keys = [(change["entity"], change["natural_key"]) for change in found]
    assert keys == [("season_coverage", "39/2025"), ("leagues", "39")]
    odds = found[0]
    assert odds["changed_at"].endswith("Z")
    assert (odds["before"], odds["after"]) == (
        {"odds": False, "injuries": None},
        {"odds": True, "injuries": False},
    )


def test_entity_since_and_limit_narrow_the_feed(core: Core, oddins: Oddins) -> None:
    core.execute("UPDATE catalog_changes SET changed_at = changed_at - interval '10 days'")
    assert shown(oddins, core.url, "--since", "7d").stdout == "no changes\n"
    limited = shown(oddins, core.url, "--since", "11d", "--entity", "seasons", "--limit", "1")
    first, hint = limited.stdout.splitlines()
    assert "7/2025" in first
    assert "--limit" in hint


def test_a_country_that_a_league_left_is_named(core: Core) -> None:
    moved = copied(ENTRIES[:2])
    moved[1]["country"] = {"name": "Wales", "code": "GB-WLS", "flag": None}
    core.sync(moved)
    (change,) = changes(core.connection, ChangeFilter(1, entity="leagues"))
    assert (change["old_country"], change["country"]) == ("England", "Wales")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", "2026-03-26T12:00:00+00:00"),
        ("12h", "2026-04-02T00:00:00+00:00"),
        ("30m", "2026-04-02T11:30:00+00:00"),
        ("2w", "2026-03-19T12:00:00+00:00"),
        ("2026-04-01", "2026-04-01T00:00:00+00:00"),
        ("2026-04-01T05:17", "2026-04-01T05:17:00+00:00"),
        ("2026-04-01T05:17:00Z", "2026-04-01T05:17:00+00:00"),
        ("2026-04-01 07:17+02:00", "2026-04-01T05:17:00+00:00"),
    ],
)
def test_since_is_an_age_or_a_moment(text: str, moment: str) -> None:
    assert moment_of(text, now=NOW) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "text", ["yesterday", "7", "-7d", "999999w", "2026-13-01", "", "7d\x1b[2J"]
)
def test_another_since_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="such as 7d") as caught:
        moment_of(text, now=NOW)
    assert "\x1b" not in str(caught.value)


def test_a_wrong_since_is_wrong_usage_before_any_connection(oddins: Oddins) -> None:
    done = oddins("changes", "--since", "soon", DATABASE_URL="postgresql://u@127.0.0.1:1/x")
    assert done.code == 2
    assert "12h" in done.stderr


def test_a_reader_with_granted_rights_reads_the_views(core: Core, oddins: Oddins) -> None:
    role = f"reader_{psycopg.conninfo.conninfo_to_dict(core.url)['dbname']}"
    core.execute(f"CREATE ROLE {role}")
    done = oddins("db", "grant-read", role, DATABASE_URL=core.url)
    assert done.code == 0, done.stderr
    core.execute(f"SET ROLE {role}")
    for view in ("coverage_switches", "season_rollovers", "league_renames", "season_activity"):
        core.query(f"SELECT count(*) FROM {view}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        core.query("SELECT count(*) FROM provider_payloads")
    core.execute("RESET ROLE")
    core.execute(f"DROP OWNED BY {role}")
    core.execute(f"DROP ROLE {role}")


RECENT = "changed_at > now() - interval '2 days'"
QUESTIONS = (
    f"SELECT * FROM coverage_switches WHERE flag = 'odds' AND {RECENT}",
    "SELECT * FROM coverage_switches WHERE provider_league_id = 39",
    f"SELECT * FROM season_rollovers WHERE {RECENT}",
    "SELECT * FROM season_rollovers WHERE provider_league_id = 39",
    "SELECT * FROM league_renames ORDER BY changed_at DESC LIMIT 20",
    "SELECT * FROM season_activity WHERE provider_league_id = 39",
)


def plan(connection: psycopg.Connection[Any], statement: Any, values: Any = None) -> str:
    rows = connection.execute(b"EXPLAIN " + statement.encode(), values).fetchall()
    return "\n".join(row[0] for row in rows)


def test_every_question_is_responded_by_an_index(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        fill(connection, leagues=3_000, years=7, days=100, changes=50_000)
        plans = [plan(connection, question) for question in QUESTIONS]
        plans += [
            plan(connection, query(wanted).as_string(connection), wanted.values)
            for wanted in (
                ChangeFilter(50),
                ChangeFilter(50, since=datetime.now(timezone.utc)),
                ChangeFilter(50, entity="countries"),
                ChangeFilter(50, league=39),
                ChangeFilter(50, league=39, entity="leagues"),
                ChangeFilter(50, payload_id=100),
            )
        ]
    for found in plans:
        assert "Seq Scan on catalog_changes" not in found, found
    for question, found in zip(QUESTIONS, plans, strict=False):
        assert "Seq Scan on seasons" not in found or "league_id" not in question, found
