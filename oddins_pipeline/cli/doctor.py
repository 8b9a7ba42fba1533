"""`oddins doctor`: each part of the set-up, with its fix."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

import click

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.cli.context import App, examples, sample_option, show_wrapped
from oddins_pipeline.config.dagster_home import CONFIG, dagster_home, default_home, home_from_env
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import revision
from oddins_pipeline.database.connection import Connection, connect, database_errors
from oddins_pipeline.database.dagster_daemon import daemon_state
from oddins_pipeline.database.readiness import load_readiness
from oddins_pipeline.errors import DatabaseError, OddinsError, SchemaError
from oddins_pipeline.logs import redact
from oddins_pipeline.pipeline.session import request_account


class Report:
    """Prints a line for each part of the set-up; `failed` once one of them is not in order."""

    failed = False

    def say(self, name: str, message: str, *, passed: bool) -> None:
        """One result."""
        self.failed |= not passed
        show_wrapped(f"{'ok   ' if passed else 'FAIL '} {name}: {redact(message)}")

    def note(self, name: str, message: str) -> None:
        """What is neither in order nor wrong."""
        show_wrapped(f"note  {name}: {message}")

    def attempt(self, name: str, check: Callable[[], str]) -> bool:
        """The result of a check, which raises OddinsError when it fails; whether it passed."""
        try:
            with database_errors():
                message = check()
        except OddinsError as error:
            self.say(name, str(error), passed=False)
            return False
        self.say(name, message, passed=True)
        return True


@click.command(epilog=examples("oddins doctor"))
@sample_option()
@click.pass_obj
def command(app: App, *, sample: bool) -> None:
    """Check environment, database, revision, key, Dagster home and daemon."""
    report = Report()
    try:
        workspace = app.open(sample=sample)
        click.echo(f"ok    environment: APP_ENV={workspace.settings.app_env}")
        connection = connect(workspace, purpose="doctor")
    except DatabaseError as error:
        report.say("database", str(error), passed=False)
    else:
        with connection:
            _examine(report, workspace, connection)
    sys.exit(1 if report.failed else 0)


def _examine(report: Report, workspace: Workspace, connection: Connection) -> None:
    version = connection.info.server_version // 10_000
    report.say("database", f"PostgreSQL {version}, UTF8", passed=True)
    problems = load_readiness(connection).problems(workspace)
    for problem in problems:
        report.say("rights", problem, passed=False)
    if not problems:
        report.say("rights", "the role may do all that a sync does", passed=True)
    if workspace.upgrades_itself and _is_new(connection):
        report.note("revision", "no catalog yet; the first sync makes it")
        ready = False
    else:
        ready = report.attempt("revision", lambda: _revision(connection))
    if ready and not problems:
        report.attempt("key", lambda: _key(workspace, connection))
    else:
        report.note("key", "not checked before rights and revision are as they should be")
    _daemon(report, workspace, connection)
    report.attempt("Dagster home", lambda: _home(workspace.settings))
    if ready:
        report.attempt("schema", lambda: _schema(connection))
    else:
        report.note("schema", "not checked before the revision is current")


def _daemon(report: Report, workspace: Workspace, connection: Connection) -> None:
    """One that does not run is a failure where schedules should start by themselves."""
    with database_errors():
        state = daemon_state(connection)
    if state.running or workspace.settings.automation == "on":
        report.say("daemon", state.text, passed=state.running)
    else:
        report.note("daemon", state.text)


def _is_new(connection: Connection) -> bool:
    """Whether nothing was ever synced; False also when that cannot be read."""
    with suppress(OddinsError):
        return revision.current_revision(connection) is None
    return False


def _revision(connection: Connection) -> str:
    if not revision.is_current(connection):
        raise OddinsError("the schema is not there or not current; run `oddins db upgrade`")
    return f"{revision.REVISIONS[-1]}, current"


def _schema(connection: Connection) -> str:
    from oddins_pipeline.database.schema_check import differences

    found = differences(connection)
    if found:
        raise SchemaError(
            f"the tables differ from this software's: {'; '.join(found)}; undo what was changed by"
            " hand"
        )
    return "the tables are as this software defines them"


def _key(workspace: Workspace, connection: Connection) -> str:
    """Requests /status, which is free; the account's part of the response is never read."""
    if workspace.target.sample:
        return "not needed for the sample provider"
    account = request_account(workspace, connection, timeout=10)
    warned = warning(account, days=workspace.settings.subscription_warning_days)
    if warned:
        raise OddinsError(warned)
    until = f" until {account.ends_at:%Y-%m-%d}" if account.ends_at else ""
    used, limit = account.requests_used, account.requests_limit
    used_today = f", {used} of {limit} requests used today" if used is not None else ""
    return f"accepted; plan {account.plan or 'unknown'}{until}{used_today}"


def _home(settings: Settings) -> str:
    named = home_from_env()
    if named is None:
        dagster_home(settings)
        return f"DAGSTER_HOME is not set; `oddins` uses {default_home(settings)}"
    config = named / CONFIG
    if not config.is_file() or "CatalogStorage" not in config.read_text(encoding="utf-8"):
        raise OddinsError(
            f"DAGSTER_HOME={named} does not hold the project's {CONFIG}: runs are recorded apart"
            " from the catalog and not limited to one at a time; copy it there"
        )
    return f"{named} (DAGSTER_HOME)"
