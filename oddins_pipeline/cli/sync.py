"""`oddins sync …`: takes the lock first, imports Dagster only when it has it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import click

from oddins_pipeline.catalog.entities import Entity, SyncKey
from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.catalog.reference_list import ReferenceList
from oddins_pipeline.catalog.requests import Params
from oddins_pipeline.catalog.season_range import FIRST_SEASON, last_season
from oddins_pipeline.cli.context import (
    App,
    Group,
    days_option,
    examples,
    fault_option,
    json_option,
    lock_timeout_option,
    sample_option,
    show_json,
    show_table,
    show_wrapped,
)
from oddins_pipeline.cli.progress import Verbosity, log_format, progress
from oddins_pipeline.cli.words import shown_anomalies, shown_seconds
from oddins_pipeline.config.dagster_home import dagster_home, home_from_env
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.errors import InterruptedSyncError, LockHeldError, OddinsError, UsageError
from oddins_pipeline.logs import set_run
from oddins_pipeline.pipeline.failures import RunFailure, record_failure
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC, LeagueFilter, require_country
from oddins_pipeline.pipeline.list_sync import list_sync
from oddins_pipeline.pipeline.session import Session, open_session
from oddins_pipeline.pipeline.sync import Sync, SyncPlan, SyncResult

logger = logging.getLogger("oddins_pipeline.worker")


@click.group(cls=Group, epilog=examples("oddins sync leagues", "oddins sync bookmakers --sample"))
def command() -> None:
    """Fetch and publish a list of the provider."""


F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    sample_option("Generated data; APP_ENV=local only."),
    fault_option(
        "Errors that the sample provider plays, listed by `oddins sample-provider --help`; with"
        " --sample."
    ),
    lock_timeout_option(
        default=0, show_default=True, help="Seconds to wait for another sync to end."
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Skip the shrinkage check and the quarantine limit; every other check still applies."
        " Asks the provider again; with --replay publishes the archived response.",
    ),
    click.option("--replay", is_flag=True, help="Publish the newest archived full response again."),
    click.option("--dry-run", is_flag=True, help="Report what would change; write nothing."),
    json_option,
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        callback=log_format,
        help="What stderr carries; JSON lines unless it is a terminal.",
    ),
    click.option(
        "-v",
        "--verbose",
        "verbosity",
        flag_value="verbose",
        help="Log lines, with metrics.",
    ),
    click.option(
        "-q",
        "--quiet",
        "verbosity",
        flag_value="quiet",
        help="Nothing but errors on stderr; the result stays.",
    ),
)


def sync_options(function: F) -> F:
    """The options of every sync."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True)
class Options:
    """What every sync takes from its command line."""

    sample: bool
    fault: tuple[str, ...]
    lock_timeout: float
    force: bool
    replay: bool
    dry_run: bool
    as_json: bool
    log_format: str
    verbosity: Verbosity | None
    days: int | None = None


@command.command(
    epilog=examples(
        "oddins sync leagues",
        "oddins sync leagues --season 2024 --country England",
        "oddins sync leagues --dry-run",
        "oddins sync leagues --sample --days 40",
    )
)
@click.option(
    "--season",
    type=click.IntRange(FIRST_SEASON, last_season()),
    metavar="YEAR",
    help="Only this year (partial).",
)
@click.option("--country", metavar="NAME", help="Only this country's leagues (partial).")
@click.option(
    "--league", type=click.IntRange(1), metavar="ID", help="Only this provider league id (partial)."
)
@click.option("--current", is_flag=True, help="Only current or last seasons (partial).")
@days_option("Let the sample provider's world move on to N days after its start; with --sample.")
@sync_options
@click.pass_obj
def leagues(
    app: App,
    /,
    season: int | None,
    country: str | None,
    league: int | None,
    *,
    current: bool,
    **options: Any,
) -> None:
    """Sync countries, leagues, seasons and coverage."""
    query = LeagueFilter(season, country, league, current)
    if options["replay"] and query.params:
        raise UsageError("--replay publishes a full response; leave out the filters")
    given = Options(**options)
    _sync(app, LEAGUE_SYNC, given, query.params, asset="raw_leagues", config=asdict(query))


def _list_command(spec: ReferenceList) -> click.Command:
    @click.command(
        spec.name,
        help=f"Sync the {spec.name}.",
        epilog=examples(f"oddins sync {spec.name}", f"oddins sync {spec.name} --dry-run"),
    )
    @sync_options
    @click.pass_obj
    def sync(app: App, /, **options: Any) -> None:
        _sync(app, list_sync(spec), Options(**options), {}, asset=spec.name, config={})

    return sync


for _spec in LISTS:
    command.add_command(_list_command(_spec))


def _sync(
    app: App,
    plan: SyncPlan[Any],
    options: Options,
    params: Params,
    *,
    asset: str,
    config: dict[str, Any],
) -> None:
    """Runs one sync; `asset` is the one whose op takes `config`."""
    started = time.monotonic()
    home_from_env()
    run_id = str(uuid.uuid4())
    set_run(f"sync_{plan.entity.label}", run_id)
    _check_sample(options)
    with progress(options.log_format, options.verbosity or "normal"):
        workspace = app.open(sample=options.sample, reads_only=options.replay, logged=True)
        if (options.fault or options.days is not None) and workspace.settings.sample_url:
            raise UsageError(
                "give --fault and --days to the sample provider that ODDINS_SAMPLE_URL names"
            )
        workspace = replace(workspace, faults=options.fault, sample_days=options.days)
        if not options.dry_run:
            dagster_home(workspace.settings)
        key = SyncKey(plan.entity, full=not params)
        with _session(app, workspace, key, options, run_id) as session:
            logger.info(f"starting the {plan.entity.label} sync", extra=params)
            if "country" in params and not options.force:
                require_country(session.connection, params["country"])
            if options.dry_run:
                from oddins_pipeline.pipeline.dry_run import dry_run

                result = dry_run(Sync(session, plan, force=options.force), params)
            else:
                config = {**config, "force": options.force, "replay": options.replay}
                result = _materialize(session, plan.entity, {asset: {"config": config}})
                app.committed = True
        shown = {**result.as_dict(), "seconds": round(time.monotonic() - started, 2)}
        logger.info("job completed", extra={"seconds": shown["seconds"]})
    show_json(shown) if options.as_json else _show(shown, workspace)


def _check_sample(options: Options) -> None:
    """Raises UsageError."""
    if options.days is not None and not options.sample:
        raise UsageError("--days is for the sample provider; add --sample")
    if options.fault and not options.sample:
        raise UsageError("--fault is played by the sample provider; add --sample")
    if not options.fault:
        return
    from oddins_pipeline.sample_provider.faults import parse_scripts

    try:
        parse_scripts(options.fault, ("/leagues", *(spec.path for spec in LISTS)))
    except ValueError as error:
        raise UsageError(str(error)) from None


@contextmanager
def _session(
    app: App, workspace: Workspace, key: SyncKey, options: Options, run_id: str
) -> Iterator[Session]:
    """The command's session; its failure is logged once, and recorded."""
    environment = {"app_env": workspace.settings.app_env, "sample": workspace.target.sample}
    logger.info("worker started", extra=environment)
    session = None
    try:
        with (
            _interrupts(app),
            open_session(workspace, run_id=run_id, lock_timeout=options.lock_timeout) as session,
        ):
            yield session
    except (LockHeldError, UsageError):
        raise
    except OddinsError as error:
        if not options.dry_run:
            age = session.age if session else None
            record_failure(workspace, replace(RunFailure.of(error), session_age=age), [key], run_id)
        raise


@contextmanager
def _interrupts(app: App) -> Iterator[None]:
    """After a signal every error is its consequence, whatever Dagster or a driver made of it."""
    try:
        yield
    except (UsageError, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or app.interrupted():
            raise InterruptedSyncError from None
        raise


def _materialize(session: Session, entity: Entity, ops: dict[str, Any]) -> SyncResult:
    from oddins_pipeline.definitions import build_definitions
    from oddins_pipeline.orchestration.in_process import run_job
    from oddins_pipeline.orchestration.jobs import sync_job
    from oddins_pipeline.orchestration.session import RunSession, given_session

    run = RunSession(session)
    job = build_definitions(sync_session=given_session(run)).resolve_job_def(sync_job(entity))
    return run_job(job, run, entity, command=f"oddins sync {entity.label}", ops=ops)


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
    unusual = shown_anomalies(result["anomalies"])
    if unusual:
        show_wrapped("", lead=unusual, color="yellow")
    left = result["quota_left"]
    quota = f"{left:,} requests left today" if left is not None else "quota left: unknown"
    sample = " (sample data)" if workspace.target.sample else ""
    took = shown_seconds(result["seconds"])
    show_wrapped(f"{sample}; {took}; {quota}", lead=what, color="green")
