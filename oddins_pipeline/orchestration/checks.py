"""Asset checks: what of the promises can be seen in the data, judged after each publication.

None blocks: by then the data is committed, and what protects it (the guard) stood before the
write. All are answers to one query, in one step, because a step and a query cost more than a
check. Of Dagster's ready-made checks none fits: freshness by the last materialization is fooled
by a backfill of one season, which moves it too, and the columns are fixed by the migrations.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import dagster as dg

from oddins_pipeline.database.catalog_facts import FIRST_YEAR, CatalogFacts, load_facts
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.failures import to_dagster_failure
from oddins_pipeline.orchestration.runs import RAW
from oddins_pipeline.orchestration.session import RunSession

MAX_LOST_PERCENT = 0.5
MAX_GAINED_PERCENT = 10
EXPECTED_ANOMALIES = {"duplicate_season"}
"""Five pairs have been in every answer since 2021; their rule is certain and nothing is lost."""


class Result(NamedTuple):
    """`words` says what was found and, when it did not pass, what to do."""

    passed: bool
    words: str


class Check(NamedTuple):
    """A check of one asset; `decide` is pure."""

    asset: str
    name: str
    severity: dg.AssetCheckSeverity
    description: str
    decide: Callable[[CatalogFacts], Result]


def freshness(facts: CatalogFacts, now: datetime | None = None) -> Result:
    """Whether the last full sync is young enough, whatever partial ones did since."""
    hours = facts.stale_after.total_seconds() / 3600
    if facts.last_synced_at is None:
        return Result(False, "No full sync has succeeded yet: materialize all assets.")
    age = (now or datetime.now(timezone.utc)) - facts.last_synced_at
    old = age.total_seconds() / 3600
    if age > facts.stale_after:
        return Result(
            False,
            f"The last full sync is {old:.0f} h old, more than {hours:g} h: see `oddins status`"
            " for the last error and `oddins doctor` for the daemon.",
        )
    return Result(True, f"The last full sync is {old:.1f} h old; {hours:g} h are allowed.")


def anomalies(facts: CatalogFacts) -> Result:
    """Whether the answer held more than the duplicates that it always holds."""
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(facts.anomalies.items()))
    if facts.anomalies.keys() <= EXPECTED_ANOMALIES:
        return Result(True, f"Resolved by rule: {found or 'nothing'}.")
    return Result(
        False,
        f"The newest answer held {found}: look at payload_anomalies, and at the answer with"
        " `oddins payload ID`.",
    )


def one_coverage(facts: CatalogFacts) -> Result:
    """Whether every season has its row."""
    missing = facts.seasons_without_coverage
    if missing:
        return Result(
            False,
            f"{missing} seasons have no row in season_coverage; somebody has deleted them:"
            " `oddins sync leagues --force` writes them again.",
        )
    return Result(True, "Every season has exactly one row.")


def no_orphan(facts: CatalogFacts) -> Result:
    """Whether what is listed stands under something listed."""
    seasons, leagues = facts.seasons_of_delisted_leagues, facts.leagues_of_delisted_countries
    if seasons or leagues:
        return Result(
            False,
            f"{seasons} listed seasons belong to delisted leagues and {leagues} listed leagues to"
            " delisted countries; somebody has edited them: `oddins sync leagues --force`"
            " writes what the provider says.",
        )
    return Result(True, "Every listed row has a listed parent.")


def one_current(facts: CatalogFacts) -> Result:
    """Whether `is_current` names one season of each league at most."""
    if facts.several_current:
        return Result(
            False,
            "More than one current season, as the provider has it: choose by dates there"
            f" (view season_activity): {', '.join(facts.several_current)}.",
        )
    return Result(True, "No league has more than one current season.")


def plausible_years(facts: CatalogFacts) -> Result:
    """Whether years and dates fit each other and this century."""
    if facts.implausible:
        return Result(
            False,
            f"Years outside {FIRST_YEAR} to three years ahead, dates more than three years off or"
            " an end before the start, as the provider has them; leave these seasons out or tell"
            f" the provider: {', '.join(facts.implausible)}.",
        )
    return Result(True, "Years and dates are plausible.")


def row_count_change(facts: CatalogFacts) -> Result:
    """Whether the latest publication left about as many listed rows as were there before."""
    told, odd = [], False
    for table, now in facts.listed.items():
        gained, lost = facts.gained.get(table, 0), facts.lost.get(table, 0)
        before = now - gained + lost
        told.append(f"{table} {before} → {now} (+{gained}, −{lost})")
        odd = odd or lost * 100 > MAX_LOST_PERCENT * before
        odd = odd or gained * 100 > MAX_GAINED_PERCENT * before
    words = "; ".join(told)
    if odd:
        return Result(
            False,
            f"{words}. The provider rarely drops anything and adds a few a day: compare with"
            " `oddins changes --since 1d` before you rely on it.",
        )
    return Result(True, f"{words}.")


_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

CHECKS = (
    Check(
        RAW,
        "freshness",
        _ERROR,
        "The last full sync is younger than ODDINS_STALE_AFTER_HOURS.",
        freshness,
    ),
    Check(RAW, "anomalies", _WARN, "The newest answer held nothing odd.", anomalies),
    Check(
        "leagues",
        "row_count_change",
        _WARN,
        "About as many rows are listed as before.",
        row_count_change,
    ),
    Check("seasons", "no_orphan", _ERROR, "What is listed stands under listed rows.", no_orphan),
    Check("seasons", "one_current", _WARN, "A league has one current season at most.", one_current),
    Check(
        "seasons",
        "plausible_years",
        _WARN,
        "Years fit their dates and this century.",
        plausible_years,
    ),
    Check("season_coverage", "one_to_one", _ERROR, "Each season has one row.", one_coverage),
)


@dg.multi_asset_check(
    name="catalog_checks",
    can_subset=True,
    required_resource_keys={"sync_session"},
    specs=[dg.AssetCheckSpec(c.name, asset=c.asset, description=c.description) for c in CHECKS],
)
def catalog_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """One look at the catalog, and a result for each check that was selected."""
    run: RunSession = context.resources.sync_session
    session = run.session
    stale_after = timedelta(hours=session.settings.stale_after_hours)
    try:
        with session.reading() as connection:
            facts = load_facts(connection, stale_after=stale_after)
    except OddinsError as error:
        raise to_dagster_failure(error) from None
    selected = context.selected_asset_check_keys
    for check in CHECKS:
        if dg.AssetCheckKey(dg.AssetKey(check.asset), check.name) in selected:
            result = check.decide(facts)
            yield dg.AssetCheckResult(
                asset_key=check.asset,
                check_name=check.name,
                passed=result.passed,
                severity=check.severity,
                description=result.words,
            )
