"""`backfill_seasons`: one season a run, through the provider's `season` filter.

An op job, because a job of unpartitioned assets shows no partitions on the page; it logs the
same assets' materializations, after the commit.
"""

import time
from typing import Any

import dagster as dg

from oddins_pipeline.catalog.season_range import FIRST_SEASON, YEARS_AHEAD
from oddins_pipeline.database import backfills
from oddins_pipeline.database.connection import database_errors
from oddins_pipeline.database.publish import TABLES
from oddins_pipeline.errors import NoSeasonError, OddinsError, PostponedError
from oddins_pipeline.orchestration.failures import to_dagster_failure
from oddins_pipeline.orchestration.io_manager import Fetched, PostgresIOManager, Slice
from oddins_pipeline.orchestration.jobs import BACKFILL_JOB, MAX_RUNTIME_TAG, REQUEST_TAG
from oddins_pipeline.orchestration.runs import RAW
from oddins_pipeline.orchestration.session import RunSession
from oddins_pipeline.pipeline.quota_policy import background_blocked_reason
from oddins_pipeline.pipeline.sync import LeagueFilter, Session

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
        session.query = LeagueFilter(season=season)
        if not _begin(context, session):
            return
        found = _fetch_and_publish(context, run)
    except OddinsError as error:
        raise to_dagster_failure(error) from None
    assert run.archived is not None
    tags = {"dagster/data_version": run.archived.payload.sha256}
    for asset, metadata in found.items():
        context.log_event(
            dg.AssetMaterialization(asset, metadata={"season": season, **metadata}, tags=tags)
        )


def _fetch_and_publish(
    context: dg.OpExecutionContext, run: RunSession
) -> dict[str, dict[str, Any]]:
    """What there is to say of each asset, all of it committed."""
    client, started = context.resources.api_football(), time.monotonic()
    answer = client.leagues(run.session.query.params)
    writer = PostgresIOManager(run)
    seconds = time.monotonic() - started
    raw = writer.archive(Fetched(answer, None, client.base_url, seconds))
    assert run.archived is not None
    publication = run.session.validate(run.archived)
    tables = {table: writer.publish(Slice(publication, table)) for table in TABLES}
    return {RAW: raw, **tables}


def _season_of(context: dg.OpExecutionContext) -> int:
    if not context.has_partition_key:
        raise NoSeasonError(
            "no season was chosen; launch it from the page with `Launch backfill…`, or ask for"
            " seasons with `oddins backfill 2019 2021..2023`"
        )
    return int(context.partition_key)


def _begin(context: dg.OpExecutionContext, session: Session) -> bool:
    """Names the run in its request; False when that has been fulfilled meanwhile. Raises
    PostponedError when quota must not be spent now.
    """
    with database_errors():
        request = context.run.tags.get(REQUEST_TAG)
        by_hand = context.run.parent_run_id is not None  # run again: it is wanted all the same
        if (
            request is not None
            and not backfills.attach_run(session.connection, int(request), context.run_id)
            and not by_hand
        ):
            context.log.info(f"request {request} is no longer open: nothing is fetched")
            return False
        blocked_reason = background_blocked_reason(session.connection)
    if blocked_reason is not None:
        raise PostponedError(blocked_reason)
    return True


@dg.job(
    name=BACKFILL_JOB,
    partitions_def=seasons,
    description="Fetches one season a run: adds and updates, never delists.",
    tags={**MAX_RUNTIME_TAG, "dagster/priority": "-10"},
)
def backfill_seasons() -> None:
    """One op: a step is the only unit that can be atomic and truthful."""
    backfill_season()
