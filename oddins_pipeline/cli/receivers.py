"""`oddins receivers …`: addresses and signing secrets come from stdin, never from arguments, which
every user of the machine can see.
"""

from __future__ import annotations

import secrets
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from urllib.parse import urlsplit

import click

from oddins_pipeline.catalog.events import Event
from oddins_pipeline.cli.context import App, json_option, sample_option, show_json, show_lines
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.database import events, receivers
from oddins_pipeline.database.connection import Connection
from oddins_pipeline.errors import OddinsError, UsageError
from oddins_pipeline.logs import register_secrets
from oddins_pipeline.urls import is_webhook_secret, is_webhook_url, secrets_in


@click.group()
def command() -> None:
    """Where events are sent."""


@command.command()
@click.argument("name")
@sample_option()
@click.pass_obj
def add(app: App, name: str, *, sample: bool) -> None:
    """Add the receiver NAME: its address on stdin, and on a second line its signing secret.

    Without a second line a secret is made and printed, this once.
    """
    workspace = app.open(sample=sample, reads_only=True)
    url, given = _read_address(workspace.settings)
    secret = given or "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    with app.connect(workspace, purpose="receivers") as connection:
        heads = events.heads(connection)
        if not receivers.add(connection, name, heads, url=url, secret=secret):
            raise UsageError(f"there is a receiver {name} already; remove it first")
    click.echo(f"{name} gets what happens from now on")
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
    if not is_webhook_url(url):
        raise UsageError("stdin's first line is not an address such as https://host/path")
    if settings.app_env != "local" and not url.startswith("https:"):
        raise UsageError("the address uses plain http, which would show its token; use https")
    if secret and not is_webhook_secret(secret):
        raise UsageError("stdin's second line is not whsec_ and 24 to 64 bytes in base64")
    return url, secret


@command.command("list")
@json_option
@sample_option()
@click.pass_obj
def list_(app: App, *, as_json: bool, sample: bool) -> None:
    """Show the receivers, their addresses masked."""
    workspace = app.open(sample=sample, reads_only=True)
    with app.reader(workspace) as connection:
        found = [(r.name, r.state, _masked(r.url)) for r in receivers.load(connection)]
    if as_json:
        names = ("name", "state", "address")
        show_json({"receivers": [dict(zip(names, row, strict=True)) for row in found]})
    else:
        show_lines(found or [("no receivers; add one with `oddins receivers add NAME`",)])


def _masked(url: str | None) -> str:
    parts = urlsplit(url) if url else None
    return f"{parts.scheme}://{parts.hostname}/***" if parts else receivers.DEFAULT


@command.command()
@click.argument("name")
@sample_option()
@click.pass_obj
def remove(app: App, name: str, *, sample: bool) -> None:
    """Forget the receiver NAME."""
    _change(app, name, receivers.remove, sample=sample)


@command.command()
@click.argument("name")
@sample_option()
@click.pass_obj
def resume(app: App, name: str, *, sample: bool) -> None:
    """End the suspension of the receiver NAME: it gets everything since."""
    _change(app, name, receivers.resume, sample=sample)


def _change(
    app: App, name: str, change: Callable[[Connection, str], bool], *, sample: bool
) -> None:
    workspace = app.open(sample=sample, reads_only=True)
    with app.connect(workspace, purpose="receivers") as connection:
        if not change(connection, name):
            raise receivers.unknown(name)
    click.echo(f"done: {name}")


@command.command()
@click.argument("name", default=receivers.DEFAULT)
@sample_option()
@click.pass_obj
def test(app: App, name: str, *, sample: bool) -> None:
    """Send a `test` event to the receiver NAME, by default that of ODDINS_WEBHOOK_URL."""
    from oddins_pipeline.pipeline.notifications import WebhookError, default_address, send

    workspace = app.open(sample=sample, reads_only=True)
    with app.reader(workspace) as connection:
        found = {r.name: (r.url, r.secret) for r in receivers.load(connection) if r.url}
    to = default_address(workspace.settings) if name == receivers.DEFAULT else found.get(name)
    if to is None or to[0] is None:
        raise receivers.unknown(name)
    now = datetime.now(timezone.utc)
    try:
        send(workspace.settings, to[0], to[1], Event(f"t{now:%s}", "test", now, "a test of oddins"))
    except WebhookError as error:
        raise OddinsError(f"{name}: {error}") from None
    click.echo(f"{name} accepted the message")
