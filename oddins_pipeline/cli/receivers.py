"""`oddins receivers …` and `oddins deliveries`. Addresses and secrets come from stdin: arguments
are seen by every user of the machine.
"""

from __future__ import annotations

import re
import secrets
import sys
from base64 import b64encode
from datetime import datetime, timezone
from functools import partial

import click

from oddins_pipeline.catalog.events import Event
from oddins_pipeline.cli.context import (
    App,
    Group,
    examples,
    json_option,
    mark_committed,
    on_catalog,
    show_rows,
    show_wrapped,
    with_workspace,
)
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Workspace
from oddins_pipeline.database import receivers
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.errors import OddinsError, UsageError
from oddins_pipeline.logs import register_secrets
from oddins_pipeline.urls import check_webhook_secret, check_webhook_url, parse_http_url, secrets_in

NONE = "no receivers; add one with `oddins receivers add NAME`"
SHOWN = ("delivered_at", "failing_since", "next_attempt_at", "suspended_at", "last_error")


@click.group(cls=Group, epilog=examples("oddins receivers list", "oddins receivers test odds"))
def command() -> None:
    """Show and change where events are sent."""


def _new_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if name == receivers.DEFAULT or not re.fullmatch(r"[\w.@-]{1,60}", name):
        raise click.BadParameter("a name has 1 to 60 letters, digits, or any of . _ - @")
    return name


@command.command(
    epilog=examples(
        "echo https://odds.example/hook | oddins receivers add odds",
        "oddins receivers add odds < address-and-secret.txt",
    )
)
@click.argument("name", callback=_new_name)
@with_workspace
def add(app: App, workspace: Workspace, name: str) -> None:
    """Add the receiver NAME, with its address from stdin.

    A second line is its signing secret; without one a secret is made and printed, this once.
    """
    url, given = _read_address(workspace.settings)
    secret = given or "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    with app.connect(workspace, purpose="receivers") as connection:
        if not receivers.add(connection, name, url, secret):
            raise OddinsError(f"there is a receiver {name} already; remove it first")
    mark_committed()
    show_wrapped(f"{name} gets what happens from now on")
    if not given:
        click.echo(f"its signing secret, shown this once: {secret}")


def _read_address(settings: Settings) -> tuple[str, str]:
    if sys.stdin.isatty():
        ask = partial(click.prompt, hide_input=True, err=True, default="", show_default=False)
        lines = [ask("address"), ask("signing secret")]
    else:
        text = sys.stdin.buffer.read(10_000).decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines()]
    url, secret = (*lines, "", "")[:2]
    register_secrets([*secrets_in(url), secret.removeprefix("whsec_")])
    try:
        check_webhook_url(url, plain=settings.app_env == "local")
        if secret:
            check_webhook_secret(secret)
    except ValueError as error:
        raise UsageError(f"what is on stdin {error}") from None
    return url, secret


@command.command("list", epilog=examples("oddins receivers list --json"))
@json_option
@on_catalog()
def list_(connection: Connection, settings: Settings, *, as_json: bool) -> None:
    """Show the receivers, their addresses masked."""
    found = receivers.load(connection, settings)
    rows = [{"name": r.name, "state": r.state, "address": masked(r.url)} for r in found]
    show_rows(rows, as_json=as_json, none=NONE)


def masked(url: str | None) -> str | None:
    """Scheme and host only."""
    parts = parse_http_url(url or "")
    return f"{parts.scheme}://{parts.hostname}/***" if parts else None


@command.command(epilog=examples("oddins receivers remove odds"))
@click.argument("name")
@on_catalog(purpose="receivers")
def remove(connection: Connection, _: Settings, name: str) -> None:
    """Forget the receiver NAME."""
    receivers.change(connection, receivers.REMOVE, name)
    mark_committed()
    show_wrapped(f"{name} is removed")


@command.command(epilog=examples("oddins receivers resume odds"))
@click.argument("name")
@on_catalog(purpose="receivers")
def resume(connection: Connection, _: Settings, name: str) -> None:
    """End the suspension of the receiver NAME: it gets everything since."""
    receivers.change(connection, receivers.RESUME, name)
    mark_committed()
    show_wrapped(f"{name} gets everything since its suspension")


@command.command(epilog=examples("oddins receivers test", "oddins receivers test odds"))
@click.argument("name", default=receivers.DEFAULT)
@on_catalog()
def test(connection: Connection, settings: Settings, name: str) -> None:
    """Send a `test` event to the receiver NAME.

    By default to that of ODDINS_WEBHOOK_URL.
    """
    from oddins_pipeline.pipeline.notifications import send

    (to,) = receivers.load(connection, settings, name)
    now = datetime.now(timezone.utc)
    send(settings, to, Event(f"t{now:%s}", "test", now, "a test of oddins"))
    show_wrapped(f"{name} accepted the message")


@click.command(epilog=examples("oddins deliveries", "oddins deliveries --replay 1200"))
@click.option(
    "--replay",
    "first",
    type=click.IntRange(1, 2**63 - 1),
    metavar="FROM",
    help="Send again what was delivered from this change (`catalog_changes.id`) on.",
)
@click.option("--receiver", "name", metavar="NAME", help="Only this receiver.")
@json_option
@on_catalog(purpose="deliveries")
def deliveries(
    connection: Connection,
    settings: Settings,
    first: int | None,
    name: str | None,
    *,
    as_json: bool,
) -> None:
    """Show what is pending, failed and delivered, for each receiver.

    `webhook_delivery_sensor` sends it.
    """
    from oddins_pipeline.pipeline.deliveries import pending_count

    receivers.add_missing(connection, settings)
    found = receivers.load(connection, settings, name)
    if first is not None:
        found = [receivers.replay(connection, one, first) for one in found]
        mark_committed()
    rows = [
        {"name": one.name, "state": one.state, "pending": pending_count(connection, one)}
        | {"delivered_to_change": one.cursor, **{key: getattr(one, key) for key in SHOWN}}
        for one in found
    ]
    show_rows(rows, as_json=as_json, none=NONE)
