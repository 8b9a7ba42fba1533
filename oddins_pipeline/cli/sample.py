"""`oddins sample-provider`."""

from __future__ import annotations

import click

from oddins_pipeline.errors import UsageError


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True)
@click.option("--scale", type=click.FloatRange(0, 1000), default=1, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--fault", default="", help="For example rate-limit:2,reset,ok.")
def command(port: int, scale: float, seed: int, fault: str) -> None:
    """Serve generated answers on 127.0.0.1 until interrupted."""
    from oddins_pipeline.sample_provider import serve

    try:
        serve(port=port, scale=scale, seed=seed, fault=fault, announce=click.echo)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error.strerror}); choose --port") from None
