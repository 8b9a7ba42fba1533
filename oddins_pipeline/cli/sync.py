"""`oddins sync leagues`: takes the lock first, imports Dagster only when it has it."""

from __future__ import annotations

import logging
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.catalog.season_range import FIRST_SEASON, last_season
from oddins_pipeline.cli.context import App, json_option, sample_option, show_json, show_table
from oddins_pipeline.config.dagster_home import home_from_env
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.errors import InterruptedSyncError, LockHeldError, OddinsError, UsageError
from oddins_pipeline.logs import set_run
from oddins_pipeline.pipeline.failures import RunFailure, record_failure
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC, LeagueFilter
from oddins_pipeline.pipeline.session import Session, open_session

if TYPE_CHECKING:
    from oddins_pipeline.pipeline.sync import SyncResult

logger = logging.getLogger("oddins_pipeline.worker")


@click.group()
def command() -> None:
    """Fetch and publish a list of the provider."""


@command.command()
@click.option(
    "--season",
    type=click.IntRange(FIRST_SEASON, last_season()),
    help="Only this year (partial).",
)
@click.option("--country", help="Only this country's leagues (partial).")
@click.option("--league", type=click.IntRange(1), help="Only this provider league id (partial).")
@click.option("--current", is_flag=True, help="Only current or last seasons (partial).")
@sample_option("Generated data; APP_ENV=local only.")
@click.option(
    "--lock-timeout",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    help="Seconds to wait for another sync to end.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Skip the shrinkage check and the quarantine limit; every other check still applies.",
)
@click.option("--replay", is_flag=True, help="Publish the newest archived full response again.")
@click.option("--dry-run", is_flag=True, help="Report what would change; write nothing.")
@json_option
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Log lines on stderr.")
@click.pass_obj
def leagues(
    app: App,
    season: int | None,
    country: str | None,
    league: int | None,
    *,
    current: bool,
    sample: bool,
    lock_timeout: float,
    force: bool,
    replay: bool,
    dry_run: bool,
    as_json: bool,
    log_format: str | None,
) -> None:
    """Sync countries, leagues, seasons and coverage."""
    started = time.monotonic()
    query = LeagueFilter(season, country, league, current)
    if replay and query.params:
        raise UsageError("--replay publishes a full response; leave out the filters")
    home_from_env()
    workspace = app.open(sample=sample, reads_only=replay, log_format=log_format)
    config = {**asdict(query), "force": force, "replay": replay}
    with _session(workspace, query, lock_timeout=lock_timeout, records=not dry_run) as session:
        result = _dry_run(session, query, force=force) if dry_run else _materialize(session, config)
    shown = {**result.as_dict(), "seconds": round(time.monotonic() - started, 2)}
    logger.info("job completed", extra={"seconds": shown["seconds"]})
    show_json(shown) if as_json else _show(shown, workspace)


@contextmanager
def _session(
    workspace: Workspace, query: LeagueFilter, *, lock_timeout: float, records: bool
) -> Iterator[Session]:
    """The command's session; its failure is logged once, and recorded."""
    run_id = str(uuid.uuid4())
    set_run("sync_leagues", run_id)
    environment = {"app_env": workspace.settings.app_env, "sample": workspace.target.sample}
    logger.info("worker started", extra=environment)
    try:
        with (
            _interrupts(),
            open_session(workspace, run_id=run_id, lock_timeout=lock_timeout) as session,
        ):
            logger.info("starting the leagues and seasons sync", extra=query.params)
            yield session
    except LockHeldError:
        raise
    except OddinsError as error:
        if not error.reported:
            logger.error(str(error), extra={"code": error.code, "retryable": error.retryable})  # noqa: TRY400 - a sentence, not a trace
        if records:
            record_failure(workspace, RunFailure.of(error), [query.key], run_id)
        raise


@contextmanager
def _interrupts() -> Iterator[None]:
    """SIGTERM ends a sync as Ctrl-C does, also before Dagster handles it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedSyncError from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _dry_run(session: Session, query: LeagueFilter, *, force: bool) -> SyncResult:
    from oddins_pipeline.pipeline.dry_run import dry_run
    from oddins_pipeline.pipeline.sync import Sync

    return dry_run(Sync(session, LEAGUE_SYNC, force=force), query.params)


def _materialize(session: Session, config: dict[str, Any]) -> SyncResult:
    from oddins_pipeline.definitions import build_definitions
    from oddins_pipeline.orchestration.in_process import run_job
    from oddins_pipeline.orchestration.jobs import RAW, SYNC_JOB
    from oddins_pipeline.orchestration.session import RunSession, given_session

    run = RunSession(session)
    job = build_definitions(sync_session=given_session(run)).resolve_job_def(SYNC_JOB)
    ops = {RAW: {"config": config}}
    return run_job(job, run, LEAGUES, command="oddins sync leagues", ops=ops)


def _show(result: dict[str, Any], workspace: Workspace) -> None:
    counts: dict[str, dict[str, int]] = result["counts"]
    columns = ("received", "inserted", "updated", "unchanged", "delisted")
    rows = [(table, *(count[column] for column in columns)) for table, count in counts.items()]
    show_table(("table", *columns), rows)
    what = "nothing changed" if result["unchanged"] else f"payload {result['payload_id']} published"
    if result["dry_run"]:
        what = f"dry run, nothing written; the guard {result['guard']}"
    if result["received"] == 0:
        what = "the provider has no match for this request: zero rows"
    left = result["quota_left"]
    quota = f"{left} requests left today" if left is not None else "quota left: unknown"
    sample = " (sample data)" if workspace.target.sample else ""
    click.echo(f"{what}{sample}; {result['seconds']} s; {quota}")
