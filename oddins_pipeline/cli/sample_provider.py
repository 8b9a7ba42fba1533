"""`oddins sample-provider`."""

from __future__ import annotations

from typing import Any

import click

from oddins_pipeline.cli.context import Finite, days_option, examples, fault_option
from oddins_pipeline.errors import UsageError
from oddins_pipeline.sample_provider.faults import FAULTS


@click.command(
    epilog=examples(
        "oddins sample-provider --days 40",
        "oddins sample-provider --fault rate-limit:2,reset,ok",
        "ODDINS_SAMPLE_URL=http://127.0.0.1:8765 oddins sync leagues --sample",
    )
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    metavar="PORT",
    show_default=True,
    help="Port to listen on; 0 takes any.",
)
@click.option(
    "--scale",
    type=Finite(0, 1000),
    default=1,
    show_default=True,
    metavar="FACTOR",
    help="How many leagues: 1 is 1,250.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, metavar="N", help="Another generated world."
)
@days_option("Serve the generated world as it is N days after its start.")
@fault_option(
    "Errors to play, one a request, each NAME, NAME:TIMES or NAME@ARGUMENT; with LIST= for one list"
    f" only. Names: {', '.join(FAULTS)}."
)
@click.option(
    "--subscription-ends",
    default="2099-01-01",
    metavar="DATE",
    show_default=True,
    help="The end that /status reports.",
)
@click.option(
    "--day-limit",
    type=click.IntRange(1),
    default=7500,
    metavar="N",
    show_default=True,
    help="Requests a day; a free account has 100.",
)
@click.option(
    "--minute-limit",
    type=click.IntRange(1),
    default=300,
    metavar="N",
    show_default=True,
    help="Requests a minute; a free account has 10.",
)
def command(*, days: int | None, fault: tuple[str, ...], **options: Any) -> None:
    """Serve generated responses until interrupted; one line per request.

    A sync uses it with ODDINS_SAMPLE_URL and --sample.
    """
    from oddins_pipeline.sample_provider import SampleProvider

    try:
        provider = SampleProvider(days=days or 0, faults=fault, **options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        address = f"{options['host']}:{options['port']}"
        raise UsageError(
            f"{address} cannot be used ({error.strerror}); choose --host or --port"
        ) from None
    provider.announce = click.echo
    provider.serve_forever()
