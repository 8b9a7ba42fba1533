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

from oddins_pipeline.cli.output import prepare, say, show_json, show_table
from oddins_pipeline.config.dagster_home import home_from_env
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import Target
from oddins_pipeline.errors import InterruptedSyncError, LockHeldError, OddinsError, UsageError
from oddins_pipeline.logs import set_run
from oddins_pipeline.pipeline.failure_recorder import record_failure
from oddins_pipeline.pipeline.sync import LeagueFilter, Session, open_session

if TYPE_CHECKING:
    from oddins_pipeline.database.publish import TableCounts

logger = logging.getLogger("oddins_pipeline.worker")

Options = dict[str, Any]


@click.group()
def command() -> None:
    """Fetch and publish the provider's answer."""


@command.command()
@click.option("--season", type=click.IntRange(1900, 2100), help="Only this year (partial).")
@click.option("--country", help="Only this country's leagues (partial).")
@click.option("--league", type=click.IntRange(1), help="Only this provider league id (partial).")
@click.option("--current", is_flag=True, help="Only current or last seasons (partial).")
@click.option("--sample", is_flag=True, help="Generated data; APP_ENV=local only.")
@click.option(
    "--lock-timeout",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    help="Seconds to wait for another sync to end.",
)
@click.option("--force", is_flag=True, help="Pass the share test and quarantine threshold.")
@click.option("--replay", is_flag=True, help="Publish the newest archived full answer again.")
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Log lines on stderr.")
def leagues(
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
        raise UsageError("--replay publishes a full answer; leave out the filters")
    settings, target = prepare(sample=sample, reads_only=replay, log_format=log_format)
    home_from_env()
    say(f"database: {target.describe(settings)}")
    options = {**asdict(query), "force": force, "replay": replay}
    run_id = str(uuid.uuid4())
    set_run(run_id)
    logger.info("worker started", extra={"app_env": settings.app_env, "sample": target.sample})
    try:
        with (
            _interrupts(),
            open_session(settings, target, run_id=run_id, lock_timeout=lock_timeout) as session,
        ):
            logger.info("starting the leagues and seasons sync", extra=query.params)
            result = (
                _run_dry(session, options)
                if dry_run
                else _run_assets(settings, session, run_id, options)
            )
    except LockHeldError:
        raise
    except OddinsError as error:
        if not getattr(error, "reported", False):
            logger.error(str(error), extra={"outcome": error.outcome, "passing": error.retryable})  # noqa: TRY400 - a sentence, not a trace
        if not dry_run:
            outcome = getattr(error, "run_outcome", error.outcome)
            record_failure(
                settings, target, str(error), entity=query.entity, run_id=run_id, outcome=outcome
            )
        raise
    result["seconds"] = round(time.monotonic() - started, 2)
    logger.info("job completed", extra={"seconds": result["seconds"]})
    show_json(result) if as_json else _show(result, target)


@contextmanager
def _interrupts() -> Iterator[None]:
    """SIGTERM ends a sync as Ctrl-C does, also while Dagster is not there to see to it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedSyncError from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_dry(session: Session, options: Options) -> dict[str, Any]:
    from oddins_pipeline.pipeline.dry_run import dry_run_sync

    return dry_run_sync(session, options)


def _run_assets(
    settings: Settings, session: Session, run_id: str, options: Options
) -> dict[str, Any]:
    from oddins_pipeline.orchestration.in_process import run_sync_job

    return run_sync_job(settings, session, run_id, options)


def _show(result: dict[str, Any], target: Target) -> None:
    counts: dict[str, dict[str, int]] = result["counts"]
    columns = ("received", "inserted", "updated", "unchanged", "delisted")
    rows = [(table, *(count[column] for column in columns)) for table, count in counts.items()]
    show_table("", ("table", *columns), rows)
    what = "nothing changed" if result["unchanged"] else f"payload {result['payload_id']} published"
    if result.get("dry_run"):
        what = f"dry run, nothing written; the guard {result['guard']}"
    if result["received"] == 0:
        what = "the provider has no match for this request: zero rows"
    left = result["quota_left"]
    quota = f"{left} requests left today" if left is not None else "quota left: not told"
    sample = " (sample data)" if target.sample else ""
    click.echo(f"{what}{sample}; {result['seconds']} s; {quota}")


def table_counts(counts: TableCounts) -> dict[str, dict[str, int]]:
    """Counts as plain values."""
    return {table: asdict(count) for table, count in counts.items()}
