"""What commands share: the workspace, where logs go, and how a result is shown."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from oddins_pipeline.config.workspace import Workspace
    from oddins_pipeline.database.connection import Connection

F = TypeVar("F", bound=Callable[..., Any])


class App:
    """The object of every command's context (`@click.pass_obj`)."""

    def __init__(self) -> None:
        self.committed = False
        """Whether the command has done its work, also when its result cannot be written."""
        self.exact = False
        """Whether output that a closed pipe cuts off is a failure."""

    def open(
        self, *, sample: bool = False, reads_only: bool = False, log_format: str | None = None
    ) -> Workspace:
        """The workspace, named on stderr before anything is connected.

        Raises UsageError with every fault at once, EmbeddedServerError.
        """
        from oddins_pipeline.config.settings import load_settings
        from oddins_pipeline.config.workspace import choose_target, open_workspace
        from oddins_pipeline.logs import configure_logging

        settings = load_settings()
        as_json = log_format == "json" or (log_format is None and not sys.stderr.isatty())
        configure_logging(as_json=as_json)
        target = choose_target(settings, sample=sample, reads_only=reads_only)
        click.echo(f"database: {target.describe(settings)}", err=True)
        return open_workspace(settings, target)

    @contextmanager
    def connect(
        self, workspace: Workspace, *, purpose: str, upgrade_itself: bool | None = None
    ) -> Iterator[Connection]:
        """A writing connection to a database of this software's revision. Raises DatabaseError."""
        from oddins_pipeline.database import revision
        from oddins_pipeline.database.connection import connect, database_errors

        with connect(workspace, purpose=purpose) as connection, database_errors():
            revision.ensure_current(connection, workspace, upgrade_itself=upgrade_itself)
            yield connection

    @contextmanager
    def reader(self, workspace: Workspace) -> Iterator[Connection]:
        """A read-only connection to an upgraded catalog. Raises DatabaseError."""
        from oddins_pipeline.database import revision
        from oddins_pipeline.database.connection import database_errors
        from oddins_pipeline.database.pool import reader

        with reader(workspace) as connection, database_errors():
            revision.require_current(connection)
            yield connection


def sample_option(help_text: str = "The sample database; APP_ENV=local only.") -> Callable[[F], F]:
    """`--sample`."""
    return click.option("--sample", is_flag=True, help=help_text)


def fault_option(help_text: str) -> Callable[[F], F]:
    """`--fault`."""
    return click.option("--fault", multiple=True, metavar="[LIST=]SCRIPT", help=help_text)


class Finite(click.FloatRange):
    """A number in a range; `nan` is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuses what compares with nothing."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return float(found)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


def show_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(value, default=str, ensure_ascii=False))


def show_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; the first column is text, the others are numbers."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
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
