"""Asset checks: the promises that can be checked in the data, after each publication.

None blocks: by then the data is committed, and the guard, which protects it, ran before the write.
All use one query in one step, because a step and a query cost more than a check. Dagster's
ready-made checks do not fit: a backfill of one season moves the last materialization too, which is
all that its freshness checks read, and the columns are fixed by the migrations.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES, Entity
from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.catalog.steps import CHECK_STEPS, RAW
from oddins_pipeline.database.catalog_facts import (
    FIRST_YEAR,
    CatalogFacts,
    ListFacts,
    load_facts,
)
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.orchestration.failures import ExpectedFailureError
from oddins_pipeline.orchestration.jobs import FIRST
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.pipeline.staleness import is_stale, stale_after
from oddins_pipeline.pipeline.sync import after_commit

MAX_LOST_PERCENT = 0.5
MAX_GAINED_PERCENT = 10
EXPECTED_ANOMALIES = {"duplicate_season"}
"""Five pairs have been in every response since 2021; a fixed rule resolves them without loss."""


class Result(NamedTuple):
    """`words` describe what was found and, when it did not pass, the fix."""

    passed: bool
    words: str


class Check(NamedTuple):
    """A check of one asset, named like `decide`, which is pure."""

    asset: str
    severity: dg.AssetCheckSeverity
    description: str
    decide: Callable[[Any], Result]

    @property
    def name(self) -> str:
        """The check's name within its asset."""
        return self.decide.__name__

    @property
    def key(self) -> dg.AssetCheckKey:
        """What Dagster knows it by."""
        return dg.AssetCheckKey(dg.AssetKey(self.asset), self.name)

    @property
    def spec(self) -> dg.AssetCheckSpec:
        """What Dagster knows of it."""
        return dg.AssetCheckSpec(self.name, asset=self.asset, description=self.description)


def _load_for_checks(run: RunSession, entity: Entity) -> ListFacts | None:
    """What the checks of an entity need; None when it cannot be read after a publication, which
    must not fail the run. A run of checks alone fails. Raises Failure.
    """
    if run.of(entity).counts is not None:
        return after_commit(lambda: _load(run, entity), None)
    try:
        return _load(run, entity)
    except OddinsError as error:
        raise ExpectedFailureError(error) from None


def evaluations(
    run: RunSession, evaluated: Collection[object] = ()
) -> Iterator[dg.AssetCheckEvaluation]:
    """The results of the leagues' checks, for a step that is no check: of all but those that the
    run has evaluated. Without them the UI would show none, or that of an earlier publication.
    """
    if len(evaluated) == len(CHECKS):
        return
    facts = after_commit(lambda: _load(run, LEAGUES), None)
    if facts is None:
        return
    for check in CHECKS:
        if check.key not in evaluated:
            passed, words = check.decide(facts)
            yield dg.AssetCheckEvaluation(
                check.key.asset_key,
                check.name,
                passed,
                severity=check.severity,
                description=words,
            )


def _load(run: RunSession, entity: Entity) -> ListFacts:
    limit = stale_after(run.workspace.settings, entity)
    with run.reading() as connection:
        return load_facts(connection, entity, stale_after=limit)


def freshness(facts: ListFacts) -> Result:
    """Whether the last full sync is young enough, whatever partial ones did since."""
    hours = facts.stale_after.total_seconds() / 3600
    if facts.last_synced_at is None:
        return Result(False, "No full sync has succeeded yet: materialize all assets.")
    old = (facts.at - facts.last_synced_at).total_seconds() / 3600
    if is_stale(facts.last_synced_at, facts.stale_after, facts.at):
        return Result(
            False,
            f"The last full sync is {old:.0f} h old, more than {hours:g} h: see `oddins status`"
            " for the last error and `oddins doctor` for the daemon.",
        )
    return Result(True, f"The last full sync is {old:.1f} h old; {hours:g} h are allowed.")


def anomalies(facts: CatalogFacts) -> Result:
    """Whether the response held more than the known duplicates."""
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(facts.anomalies.items()))
    if facts.anomalies.keys() <= EXPECTED_ANOMALIES:
        return Result(True, f"Resolved by rule: {found or 'nothing'}.")
    return Result(
        False,
        f"The newest response held {found}: see payload_anomalies, and the response with"
        " `oddins payload ID`.",
    )


def one_to_one(facts: CatalogFacts) -> Result:
    """Whether every season has its row."""
    missing = facts.seasons_without_coverage
    if missing:
        return Result(
            False,
            f"{missing} seasons have no row in season_coverage; they were deleted by hand:"
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
            " delisted countries; they were edited by hand: `oddins sync leagues --force`"
            " writes the provider's values.",
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
            " an end before the start, as the provider has them; leave these seasons out or report"
            f" them to the provider: {', '.join(facts.implausible)}.",
        )
    return Result(True, "Years and dates are plausible.")


def row_count_change(facts: ListFacts) -> Result:
    """Whether the latest publication left about as many listed rows as were there before."""
    found, unusual = [], False
    for table, now in facts.listed.items():
        gained, lost = facts.gained.get(table, 0), facts.lost.get(table, 0)
        before = now - gained + lost
        found.append(f"{table} {before} → {now} (+{gained}, −{lost})")
        unusual = unusual or lost * 100 > MAX_LOST_PERCENT * before
        unusual = unusual or gained * 100 > MAX_GAINED_PERCENT * before
    words = "; ".join(found)
    if unusual:
        return Result(
            False,
            f"{words}. The provider rarely drops anything and adds a few a day: compare with"
            " `oddins changes --since 1d` before you rely on it.",
        )
    return Result(True, f"{words}.")


_ROW_COUNT_RULE = (
    f"A publication delists at most {MAX_LOST_PERCENT} % of the listed rows, and adds at most"
    f" {MAX_GAINED_PERCENT} %."
)
_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

CHECKS = (
    Check(
        RAW,
        _ERROR,
        "The last full sync is younger than ODDINS_STALE_AFTER_HOURS, whatever partial ones"
        " did since.",
        freshness,
    ),
    Check(
        RAW,
        _WARN,
        "The newest response holds nothing that was quarantined, unknown or duplicate but the known"
        " duplicates.",
        anomalies,
    ),
    Check("leagues", _WARN, _ROW_COUNT_RULE, row_count_change),
    Check("seasons", _ERROR, "Each listed row has a listed parent.", no_orphan),
    Check("seasons", _WARN, "Each league has at most one current season.", one_current),
    Check(
        "seasons",
        _WARN,
        "Years and dates fit together: no end before its start, none years off.",
        plausible_years,
    ),
    Check("season_coverage", _ERROR, "Each season has exactly one row.", one_to_one),
)


def build_checks(entity: Entity, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """One query and one step, with a result for each check that was selected."""
    step = CHECK_STEPS[entity.name]

    @dg.multi_asset_check(
        name=step,
        can_subset=True,
        required_resource_keys={"sync_session"},
        op_tags=FIRST,
        specs=[check.spec for check in checks],
        description=f"One query over {', '.join(entity.tables)}.",
    )
    def evaluate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        run: RunSession = context.resources.sync_session
        try:
            facts = _load_for_checks(run, entity)
        finally:
            run.finish(step)
        for check in checks if facts else ():
            if check.key in context.selected_asset_check_keys:
                passed, words = check.decide(facts)
                yield dg.AssetCheckResult(
                    asset_key=check.asset,
                    check_name=check.name,
                    passed=passed,
                    severity=check.severity,
                    description=words,
                )

    return evaluate


catalog_checks = build_checks(LEAGUES, CHECKS)


def build_list_checks(spec: ReferenceList) -> dg.AssetChecksDefinition:
    """The checks of a reference list."""
    limit = "The last sync is younger than ODDINS_LISTS_STALE_AFTER_HOURS."
    checks = (
        Check(spec.name, _WARN, limit, freshness),
        Check(spec.name, _WARN, _ROW_COUNT_RULE, row_count_change),
    )
    return build_checks(spec.entity, checks)
