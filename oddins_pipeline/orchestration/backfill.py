"""`backfill_seasons`: one season a run, through the provider's `season` filter.

An op job, because a job of unpartitioned assets shows no partitions in the Dagster UI; it logs the
same assets' materializations and check results, after the commit.
"""

from typing import Any

import dagster as dg

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.season_range import FIRST_SEASON, YEARS_AHEAD
from oddins_pipeline.catalog.steps import BACKFILL_STEP, RAW
from oddins_pipeline.database import backfills
from oddins_pipeline.database.connection import database_errors
from oddins_pipeline.errors import NoSeasonError, PostponedError
from oddins_pipeline.orchestration.checks import evaluations
from oddins_pipeline.orchestration.io_manager import PostgresIOManager, Slice
from oddins_pipeline.orchestration.jobs import (
    BACKFILL_JOB,
    MAX_RUNTIME_TAG,
    OWNERS,
    REQUEST_TAG,
)
from oddins_pipeline.orchestration.session import EntityProgress, RunSession
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC, LeagueFilter
from oddins_pipeline.pipeline.quota_policy import background_blocked_reason
from oddins_pipeline.pipeline.session import Session
from oddins_pipeline.pipeline.sync import Sync

seasons = dg.TimeWindowPartitionsDefinition(
    start=str(FIRST_SEASON),
    fmt="%Y",
    cron_schedule="0 0 1 1 *",
    end_offset=1 + YEARS_AHEAD,  # the year that is not over yet, and those to come
)


@dg.op(
    name=BACKFILL_STEP,
    required_resource_keys={"sync_session", "api_football"},
    out=dg.Out(dg.Nothing),
)
def backfill_season(context: dg.OpExecutionContext) -> None:
    """Fetches one season and publishes it; adds and updates, never delists."""
    run: RunSession = context.resources.sync_session
    with run.step_of(LEAGUES) as progress:
        season = _season_of(context)
        if not _begin(context, run.session):
            return
        metadata = _fetch_and_publish(context, run, progress, season)
    assert progress.payload is not None
    tags = {"dagster/data_version": progress.payload.sha256}
    for asset, found in metadata.items():
        found["season"] = season
        context.log_event(dg.AssetMaterialization(asset, metadata=found, tags=tags))
    run.finish(BACKFILL_STEP)
    for evaluation in evaluations(run):
        context.log_event(evaluation)  # type: ignore[arg-type]  # it takes it


def _fetch_and_publish(
    context: dg.OpExecutionContext, run: RunSession, progress: EntityProgress, season: int
) -> dict[str, dict[str, Any]]:
    """The metadata of each asset, all of it committed."""
    progress.sync = Sync(run.session, LEAGUE_SYNC)
    client = context.resources.api_football()
    writer = PostgresIOManager(run)
    raw = writer.archive(client.fetch(LEAGUES.path, LeagueFilter(season=season).params))
    assert progress.payload is not None
    publication = progress.sync.validate(progress.payload)
    tables = {table: writer.publish(Slice(publication, table)) for table in LEAGUES.tables}
    return {RAW: raw, **tables}


def _season_of(context: dg.OpExecutionContext) -> int:
    if not context.has_partition_key:
        raise NoSeasonError(
            "no season was chosen; launch it in the Dagster UI with `Launch backfill…`, by"
            " `dg launch --job backfill_seasons --partition 2024`, or request seasons with"
            " `oddins backfill 2019 2021..2023`"
        )
    return int(context.partition_key)


def _begin(context: dg.OpExecutionContext, session: Session) -> bool:
    """Attaches the run to its request; False when that was fulfilled meanwhile. Raises
    PostponedError when background requests are blocked.
    """
    with database_errors():
        request = context.run.tags.get(REQUEST_TAG)
        by_hand = context.run.parent_run_id is not None  # re-executed: wanted all the same
        if (
            request is not None
            and not backfills.attach_run(session.connection, int(request), context.run_id)
            and not by_hand
        ):
            context.log.info(f"request {request} is no longer open: nothing is fetched")
            return False
        reason = background_blocked_reason(session.connection, LEAGUES)
    if reason is not None:
        raise PostponedError(reason)
    return True


@dg.job(
    name=BACKFILL_JOB,
    partitions_def=seasons,
    description="Fetches one season a run: adds and updates, never delists. While background"
    " requests are blocked (little quota left, or a final failure: see `oddins status`) it fails"
    " before it requests anything.",
    owners=OWNERS,
    tags={**MAX_RUNTIME_TAG, "dagster/priority": "-10"},
)
def backfill_seasons() -> None:
    """One op: a step is the only unit that can be atomic and truthful."""
    backfill_season()
