"""`oddins`: routing, usage and exit codes. Each command imports what it needs, when it runs."""

from __future__ import annotations

import gc
import re
import sys
import threading
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

import click

from oddins_pipeline import __version__
from oddins_pipeline.cli.context import App, Group, examples, show_wrapped
from oddins_pipeline.cli.process import Interrupts, open_streams
from oddins_pipeline.errors import OddinsError, UsageError


class LazyGroup(Group):
    """Loads a command's module when the command is asked for: `--help` stays quick."""

    commands_help: ClassVar[dict[str, str]] = {
        "sync": "Fetch and publish a list of the provider.",
        "backfill": "Request seasons, one provider request each.",
        "status": "Show last sync, last error, row counts, quota.",
        "changes": "List what changed, the newest first.",
        "watch": "Watch leagues: only their changes are sent.",
        "unwatch": "Stop watching leagues.",
        "receivers": "Show and change where events are sent.",
        "deliveries": "Show what was sent and what is pending.",
        "metrics": "Print or serve Prometheus metrics.",
        "payloads": "List archived responses.",
        "payload": "Write an archived response, byte for byte.",
        "doctor": "Check the set-up, with fixes.",
        "dev": "Serve the Dagster UI and run its daemon.",
        "sample-provider": "Serve the sample provider by itself.",
        "db": "Upgrade, show, open and grant access to the database.",
    }

    elsewhere: ClassVar[dict[str, tuple[str, str]]] = {
        "unwatch": ("watch", "unwatch"),
        "deliveries": ("receivers", "deliveries"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the contract."""
        return list(self.commands_help)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """`command` of the module that is named like it, or what `elsewhere` names."""
        if cmd_name not in self.commands_help:
            return None
        name = cmd_name.replace("-", "_")
        module, attribute = self.elsewhere.get(name, (name, "command"))
        found = import_module(f"oddins_pipeline.cli.{module}")
        command: click.Command = getattr(found, attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Without the empty line that click prints after Ctrl-C, where stderr carries JSON."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.obj.as_json:
                raise click.Abort from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list without importing a single command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.commands_help.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("oddins sync leagues --sample", "oddins status", "oddins changes --since 7d"),
)
@click.version_option(__version__, prog_name="oddins")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Keeps a PostgreSQL catalog of football competitions in sync with API-Football.

    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 75 another sync holds the lock,
    128 + n ended by signal n.
    """
    ctx.ensure_object(App)


def main() -> None:
    """Entry point: an expected failure is one sentence on stderr and its exit code."""
    gc.set_threshold(100_000)  # what is imported stays: scanning it took 3 % of a sync
    stdout, interrupts = open_streams(), Interrupts()
    app = App(as_json=_wants_json(sys.argv), interrupted=interrupts.first)
    threading.excepthook = lambda failed: _report_bug(app, failed.exc_value)
    sys.unraisablehook = partial(_unraisable, app)
    code = _run(app)
    interrupted = interrupts.end()
    sys.stdout.flush()
    if code and interrupted:
        code = interrupted
    elif code == 0 and stdout.error and (app.exact or not stdout.is_broken_pipe):
        _say(app, f"the result could not be written: {stdout.error.strerror}")
        code = 0 if app.committed else 1
    sys.exit(code)


def _unraisable(app: App, failed: sys.UnraisableHookArgs) -> None:
    """What a signal raises where nothing can be raised ends the command when it opens its work."""
    if not app.interrupted():
        sys.__unraisablehook__(failed)


def _run(app: App) -> int:
    """The command's exit code."""
    try:
        _require_utf8(sys.argv)
        cli.main(prog_name="oddins", standalone_mode=False, obj=app)
    except click.exceptions.Abort:
        _say(app, "interrupted", code="interrupted")
        return 1
    except click.ClickException as error:
        _say_usage(app, error)
        return error.exit_code
    except OddinsError as error:
        _report(app, error)
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except SystemExit as done:
        return int(done.code or 0)
    except Exception as error:  # noqa: BLE001 - not expected: a bug, said in the form of the log
        _report_bug(app, error)
        return 1
    return 0


def _report_bug(app: App, error: BaseException | None) -> None:
    """The error with its trace, redacted; where stderr carries JSON, a field of one object."""
    import logging

    from oddins_pipeline.logs import configure_logging

    configure_logging(as_json=app.as_json)
    message = f"unexpected {type(error).__name__}: {error}; please report it, with the trace"
    fields = {"code": "unexpected", "retryable": False} if app.as_json else {}
    logging.getLogger("oddins_pipeline.cli").error(message, exc_info=error, extra=fields)


def _require_utf8(arguments: list[str]) -> None:
    for position, argument in enumerate(arguments):
        if not argument.isascii() and argument != argument.encode(errors="replace").decode():
            raise UsageError(f"argument {position} is not UTF-8; type it again")


def _wants_json(arguments: list[str]) -> bool:
    """Whether stderr carries JSON lines; wrong arguments too are reported in them."""
    given = re.findall(r"--log-format[= ](text|json)\b", " ".join(arguments))
    return given[-1] == "json" if given else not sys.stderr.isatty()


def _report(app: App, error: OddinsError) -> None:
    _say(app, str(error), code=error.code, retryable=error.retryable)
    if error.writes_nothing and not app.as_json:
        click.echo("no table was changed", err=True)


def _say_usage(app: App, error: click.ClickException) -> None:
    """The usage, and what is wrong; one object where stderr carries JSON."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if app.as_json:
        _say(app, message, code="usage")
    elif message.startswith("Usage:"):  # nothing was given: the help
        click.echo(message, err=True)
    else:
        if context is not None:
            click.echo(context.get_usage(), err=True)
            show_wrapped(f"Try '{context.command_path} --help' for help.", err=True)
        _say(app, message)


def _say(app: App, message: str, **fields: Any) -> None:
    import logging

    from oddins_pipeline.logs import configure_logging, logs_json, redact

    if app.as_json:
        if not logs_json():
            configure_logging(as_json=True)
        logging.getLogger("oddins_pipeline.cli").error(message, extra=fields)
        return
    for line in redact(message).splitlines():
        show_wrapped(f" {line}", lead="oddins:", color="red", err=True)
