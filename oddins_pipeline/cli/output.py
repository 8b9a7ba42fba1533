"""What commands share: where logs go, and how a result is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from oddins_pipeline.config.settings import Settings, load_settings
from oddins_pipeline.config.target import Target, choose_target
from oddins_pipeline.logs import configure_logging, register_secrets


def prepare(
    *, sample: bool = False, reads_only: bool = False, log_format: str | None = None
) -> tuple[Settings, Target]:
    """Settings, checked all at once, and the target. Raises UsageError."""
    settings = load_settings()
    register_secrets(settings.secrets)
    as_json = log_format == "json" or (log_format is None and not sys.stderr.isatty())
    configure_logging(as_json=as_json)
    return settings, choose_target(settings, sample=sample, reads_only=reads_only)


def say(message: str) -> None:
    """A line for a person, on stderr."""
    click.echo(message, err=True)


def show_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(value, default=str, ensure_ascii=False))


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; the first column is text, the others are figures."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    if title:
        click.echo(title)
    for row in cells:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join([first, *rest]).rstrip())


def show_lines(rows: Sequence[Sequence[str]]) -> None:
    """Lines of text columns on stdout; the last column takes what room it needs."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())
