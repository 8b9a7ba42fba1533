"""`backfill_seasons`: one season a run, through the provider's `season` filter.

An op job, because a job of unpartitioned assets shows no partitions on the page; it logs the
same assets' materializations, after the commit.
"""

from dataclasses import asdict
from typing import Any

import dagster as dg

from oddins_pipeline.database import backfills
from oddins_pipeline.database.connection import database_errors
from oddins_pipeline.database.permission import optional_work_objection
from oddins_pipeline.errors import NoSeasonError, OddinsError, PostponedError
from oddins_pipeline.orchestration.failures import failure_of
from oddins_pipeline.orchestration.jobs import BACKFILL_JOB, LONGEST_RUN, REQUEST_TAG
from oddins_pipeline.orchestration.runs import RAW
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.seasons import FIRST_SEASON, YEARS_AHEAD
from oddins_pipeline.sync import Query, Session

seasons = dg.TimeWindowPartitionsDefinition(
    start=str(FIRST_SEASON),
    fmt="%Y",
    cron_schedule="0 0 1 1 *",
    end_offset=1 + YEARS_AHEAD,  # the year that is not over yet, and those to come
)


@dg.op(required_resource_keys={"sync_session", "api_football"}, out=dg.Out(dg.Nothing))
def backfill_season(context: dg.OpExecutionContext) -> None:
    """Fetches one season and publishes it; adds and updates, never delists."""
    run: RunSession = context.resources.sync_session
    try:
        season = _season_of(context)
        session = run.session
        session.query = Query(season=season)
        _begin(context, session)
        archived, counts = session.sync(context.resources.api_football())
    except OddinsError as error:
        raise failure_of(error) from None
    payload = archived.payload
    facts = {"payload_id": payload.id, "season": season, "unchanged": archived.unchanged}
    _report(context, RAW, payload.sha256, {**facts, "leagues": payload.results})
    for table, count in counts.items():
        rows = {f"rows_{what}": number for what, number in asdict(count).items()}
        _report(context, table, payload.sha256, {**facts, **rows})


def _season_of(context: dg.OpExecutionContext) -> int:
    if not context.has_partition_key:
        raise NoSeasonError(
            "no season was chosen; launch it from the page with `Launch backfill…`, or ask for"
            " seasons with `oddins backfill 2019 2021..2023`"
        )
    return int(context.partition_key)


def _begin(context: dg.OpExecutionContext, session: Session) -> None:
    """Names the run in its request. Raises PostponedError when quota must not be spent now."""
    with database_errors():
        request = context.run.tags.get(REQUEST_TAG)
        if request is not None:
            backfills.note_run(session.connection, int(request), context.run_id)
        objection = optional_work_objection(session.connection)
    if objection is not None:
        raise PostponedError(objection)


def _report(
    context: dg.OpExecutionContext, asset: str, sha256: str, metadata: dict[str, Any]
) -> None:
    tags = {"dagster/data_version": sha256}
    context.log_event(dg.AssetMaterialization(asset, metadata=metadata, tags=tags))


@dg.job(
    name=BACKFILL_JOB,
    partitions_def=seasons,
    description="Fetches one season a run: adds and updates, never delists.",
    tags={**LONGEST_RUN, "dagster/priority": "-10"},
)
def backfill_seasons() -> None:
    """One op: a step is the only unit that can be atomic and truthful."""
    backfill_season()
