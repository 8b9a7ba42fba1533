"""`oddins doctor`: each part of the set-up, with its remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator

import click

from oddins_pipeline.catalog.account import warning
from oddins_pipeline.cli.output import prepare
from oddins_pipeline.config.dagster_home import CONFIG, default_home, home_from_env
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.target import Target, database_url
from oddins_pipeline.database import revision
from oddins_pipeline.database.connection import Connection, connect, database_errors
from oddins_pipeline.database.dagster_daemon import daemon_state
from oddins_pipeline.errors import OddinsError
from oddins_pipeline.pipeline.sync import ask_account

Check = Callable[[], str]
Line = tuple[str, bool]
"""A check's name and whether it passed."""


@click.command()
@click.option("--sample", is_flag=True, help="The sample database; APP_ENV=local only.")
def command(*, sample: bool) -> None:
    """Check environment, database, revision, key, Dagster home and daemon."""
    settings, target = prepare(sample=sample, log_format="text")
    click.echo(f"database: {target.describe(settings)}")
    click.echo(f"ok    environment: APP_ENV={settings.app_env}")
    failed = [name for name, passed in _run(settings, target) if not passed]
    sys.exit(1 if failed else 0)


def _run(settings: Settings, target: Target) -> Generator[Line, None, None]:
    try:
        url = database_url(settings, target)
        connection = connect(url, settings, purpose="doctor")
    except OddinsError as error:
        yield _say("database", str(error), passed=False)
        return
    with connection:
        version = connection.info.server_version // 10_000
        yield _say("database", f"PostgreSQL {version}, UTF8", passed=True)
        ready = yield from _attempt("revision", lambda: _revision(connection))
        if ready:
            yield from _attempt("key", lambda: _key(settings, target, connection))
            yield from _attempt("daemon", lambda: daemon_state(connection))
        yield from _attempt("Dagster home", lambda: _home(settings))


def _attempt(name: str, check: Check) -> Generator[Line, None, bool]:
    try:
        with database_errors():
            message = check()
    except OddinsError as error:
        yield _say(name, str(error), passed=False)
        return False
    yield _say(name, message, passed=True)
    return True


def _say(name: str, message: str, *, passed: bool) -> tuple[str, bool]:
    from oddins_pipeline.logs import redact

    click.echo(f"{'ok   ' if passed else 'FAIL '} {name}: {redact(message)}")
    return name, passed


def _revision(connection: Connection) -> str:
    if not revision.is_current(connection):
        raise OddinsError("the schema is not there or not current; run `oddins db upgrade`")
    return f"{revision.REVISIONS[-1]}, current"


def _key(settings: Settings, target: Target, connection: Connection) -> str:
    """Asks /status, which is free; the account's part of the answer is never looked at."""
    if target.sample:
        return "not needed for the sample provider"
    account = ask_account(settings, connection, timeout=10)
    warned = warning(account, days=settings.subscription_warning_days)
    if warned:
        raise OddinsError(warned)
    until = f" until {account.ends_at:%Y-%m-%d}" if account.ends_at else ""
    used, limit = account.requests_used, account.requests_limit
    spent = f", {used} of {limit} requests used today" if used is not None else ""
    return f"accepted; plan {account.plan or 'not told'}{until}{spent}"


def _home(settings: Settings) -> str:
    named = home_from_env()
    if named is None:
        return f"DAGSTER_HOME is not set; `oddins` uses {default_home(settings)}"
    config = named / CONFIG
    if not config.is_file() or "CatalogStorage" not in config.read_text(encoding="utf-8"):
        raise OddinsError(
            f"DAGSTER_HOME={named} does not hold the project's {CONFIG}: runs are recorded apart"
            " from the catalog and not limited to one at a time; copy it there"
        )
    return f"{named} (DAGSTER_HOME)"
