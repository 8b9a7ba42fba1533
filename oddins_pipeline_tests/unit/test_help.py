"""The help of every command, on wide and on narrow terminals."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from oddins_pipeline.cli import cli


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and every group, by its path."""
    yield path, group
    for name in group.list_commands(click.Context(group)):
        found = group.get_command(click.Context(group), name)
        assert found is not None
        inner = (*path, name)
        if isinstance(found, click.Group):
            yield from commands(found, inner)
        else:
            yield inner, found


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize("columns", [80, 40])
def test_every_help_has_examples_and_fits_the_terminal(
    path: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = CliRunner().invoke(cli, [*path, "--help"]).output
    text, _, examples = shown.partition("  Examples:\n")
    assert examples.count(" ".join(("oddins", *path))) >= 1
    too_long = [line for line in text.splitlines() if len(line) > columns]
    assert not too_long
    assert "..." not in re.sub(r"[]A-Z]\.\.\.", "", text), "a description is cut"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_described_by_a_sentence_and_says_what_it_takes(
    path: tuple[str, ...],
) -> None:
    for option in ALL[path].params:
        if isinstance(option, click.Option):
            assert option.help is not None, option.name
            assert re.fullmatch(r"[A-Z].*\.", option.help, re.DOTALL), option.help
            named = option.is_flag or option.metavar or isinstance(option.type, click.Choice)
            assert named or isinstance(option.type, click.Path), option.name
