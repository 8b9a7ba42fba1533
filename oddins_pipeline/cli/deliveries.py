"""`oddins deliveries`."""

from __future__ import annotations

from typing import Any

import click

from oddins_pipeline.cli.context import App, json_option, sample_option, show_json
from oddins_pipeline.database import receivers
from oddins_pipeline.pipeline.deliveries import pending_count

SHOWN = ("delivered_at", "failing_since", "next_attempt_at", "suspended_at", "last_error")


@click.command()
@click.option(
    "--replay",
    "first",
    type=click.IntRange(1, 2**63 - 1),
    metavar="FROM",
    help="Send again what was delivered from this change (`catalog_changes.id`) on.",
)
@click.option("--receiver", "name", help="Only this receiver.")
@json_option
@sample_option()
@click.pass_obj
def command(app: App, first: int | None, name: str | None, *, as_json: bool, sample: bool) -> None:
    """What is pending, failed and delivered, per receiver; sent by `webhook_delivery_sensor`."""
    workspace = app.open(sample=sample, reads_only=True)
    with app.connect(workspace, purpose="deliveries") as connection:
        if first is not None:
            receivers.replay(connection, first, name)
        found = [
            {"name": one.name, "state": one.state, "pending": pending_count(connection, one)}
            | {"delivered_to_change": one.cursor, **{key: getattr(one, key) for key in SHOWN}}
            for one in receivers.load(connection)
            if name in {None, one.name}
        ]
    if name is not None and not found:
        raise receivers.unknown(name)
    show_json({"receivers": found}) if as_json else _show(found)


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        click.echo("no receivers; add one with `oddins receivers add NAME`")
    for one in found:
        head = f"{one['name']}: {one['state']}, {one['pending']:,} pending"
        click.echo(f"{head}; delivered up to change {one['delivered_to_change']}")
        for key in SHOWN:
            if one[key] is not None:
                click.echo(f"  {key.replace('_', ' ')}: {one[key]}")
