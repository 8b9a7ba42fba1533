"""What commands share: the workspace, where logs go, and how a result is shown."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from oddins_pipeline.config.workspace import Workspace
    from oddins_pipeline.database.connection import Connection

logger = logging.getLogger("oddins_pipeline.cli")

F = TypeVar("F", bound=Callable[..., Any])

MIN_COLUMNS = 30


class HelpFormatter(click.HelpFormatter):
    """Click's, also for terminals that are narrower than 50 columns."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.width = min(self.width, max(shutil.get_terminal_size().columns, MIN_COLUMNS) - 2)

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """The descriptions begin further to the left where there is little room."""
        super().write_dl(rows, min(col_max, self.width // 2 - 7), col_spacing)


click.Context.formatter_class = HelpFormatter


class Group(click.Group):
    """A group whose help shows the descriptions of its commands whole, and which names the nearest
    command for one that it does not have.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            for near in get_close_matches(args[0], self.list_commands(ctx), 1):
                ctx.fail(f"{error.message} Did you mean {near}?")
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with the first sentence of its help."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(1_000)) for name, one in self.commands.items()]
            )


class App:
    """The object of every command's context (`@click.pass_obj`)."""

    def __init__(self, *, as_json: bool = False, interrupted: Callable[[], object] = bool) -> None:
        self.as_json = as_json
        """Whether stderr carries JSON lines, and so must carry nothing else."""
        self.interrupted = interrupted
        """Whether a signal has come that is to end the command."""
        self.committed = False
        """Whether the command has done its work, also when its result cannot be written."""
        self.exact = False
        """Whether output that a closed pipe cuts off is a failure."""

    def open(
        self, *, sample: bool = False, reads_only: bool = False, logged: bool = False
    ) -> Workspace:
        """The workspace, named on stderr before anything is connected; `logged` when the command
        has set up its log.

        Raises UsageError with every fault at once, EmbeddedServerError.
        """
        from oddins_pipeline.config.settings import load_settings
        from oddins_pipeline.config.workspace import choose_target, open_workspace
        from oddins_pipeline.logs import configure_logging

        if self.interrupted():  # while modules were imported, and swallowed there
            raise KeyboardInterrupt
        settings = load_settings()
        if not logged:
            configure_logging(as_json=self.as_json, level=logging.WARNING)
            logger.setLevel(logging.INFO)
        target = choose_target(settings, sample=sample, reads_only=reads_only)
        database = f"database: {target.describe(settings)}"
        logger.info(database) if logged else self.note(database)
        return open_workspace(settings, target)

    def note(self, message: str) -> None:
        """A line on stderr for the user."""
        logger.info(message) if self.as_json else show_wrapped(message, err=True)

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


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def sample_option(help_text: str = "The sample database; APP_ENV=local only.") -> Callable[[F], F]:
    """`--sample`."""
    return click.option("--sample", is_flag=True, help=help_text)


def with_workspace(function: Callable[..., None]) -> Callable[..., None]:
    """Adds `--sample`; the command gets the app and the workspace of a database that it does not
    fill.
    """

    @sample_option()
    @click.pass_obj
    @wraps(function)
    def command(app: App, /, *arguments: Any, sample: bool, **options: Any) -> None:
        function(app, app.open(sample=sample, reads_only=True), *arguments, **options)

    return command


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


def days_option(help_text: str) -> Callable[[F], F]:
    """`--days`."""
    return click.option("--days", type=click.IntRange(0, 3650), metavar="N", help=help_text)


limit_option = click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many, the newest first.",
)

lock_timeout_option = partial(
    click.option, "--lock-timeout", type=Finite(0, 86_400), metavar="SECONDS"
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="JSON on stdout, one object a line."
)


def show_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout, on a line of its own; times are ISO 8601 with a Z."""
    click.echo(json.dumps(value, default=_plain, ensure_ascii=False))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return str(value)


def show_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; the first column is text, the others are numbers.

    A line for each row where the terminal is too narrow for it.
    """
    cells = [
        [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        for row in (header, *rows)
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) > shutil.get_terminal_size().columns:
        for name, *numbers in cells[1:]:
            parts = (f"{n} {what}" for n, what in zip(numbers, header[1:], strict=True) if n != "0")
            show_wrapped(f"{name}: {', '.join(parts) or 'nothing'}")
        return
    for row in cells:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join([first, *rest]).rstrip())


def show_wrapped(text: str, *, lead: str = "", color: str = "", err: bool = False) -> None:
    """`lead` and `text` on stdout or stderr: on a terminal wrapped by words, and `lead` in a color
    unless NO_COLOR is set.
    """
    text = lead + text
    if (sys.stderr if err else sys.stdout).isatty():
        width = max(20, shutil.get_terminal_size().columns)
        text = textwrap.fill(
            text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
        letters = len("".join(lead.split()))
        colored = re.match(rf"(?:\s*\S){{{letters}}}", text)
        if lead and colored and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
            text = click.style(colored[0], fg=color) + text[colored.end() :]
    click.echo(text, err=err)


def show_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, none: str) -> None:
    """A JSON object for each row, or a table on stdout, or a text for each where the terminal is
    too narrow for the table; `none` where there is no row.
    """
    if as_json:
        for row in rows:
            show_json(row)
        return
    if not rows:
        show_wrapped(none)
        return
    cells = [[name.replace("_", " ") for name in rows[0]]]
    cells += [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    columns = shutil.get_terminal_size().columns
    if sys.stdout.isatty() and max(map(len, lines)) > columns:
        for values in cells[1:]:
            named = zip(cells[0], values, strict=True)
            show_wrapped("; ".join(f"{name}: {cell}" for name, cell in named if cell))
    else:
        click.echo("\n".join(lines))


def _cell(value: object) -> str:
    from oddins_pipeline.logs import sanitize

    if isinstance(value, datetime):
        return f"{value.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    return "" if value is None else sanitize(str(value), 120)


def mark_committed() -> None:
    """The command has done its work, also when its result cannot be written."""
    click.get_current_context().ensure_object(App).committed = True


def on_catalog(purpose: str | None = None) -> Callable[[Callable[..., None]], Callable[..., Any]]:
    """Adds `--sample`, and opens the catalog: the command's first arguments are a connection, one
    for reading only without a `purpose`, and the settings.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., Any]:
        @with_workspace
        @wraps(command)
        def opened(app: App, workspace: Workspace, /, **options: Any) -> None:
            opens = app.connect(workspace, purpose=purpose) if purpose else app.reader(workspace)
            with opens as connection:
                command(connection, workspace.settings, **options)

        return opened

    return decorate
