"""What README and the pages say is so: commands run, queries work, tables are complete."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import psycopg
import pytest

from oddins_pipeline.catalog.lists import LISTS
from oddins_pipeline.cli import cli
from oddins_pipeline.database.changes import VIEWS
from oddins_pipeline.definitions import build_definitions
from oddins_pipeline.orchestration.checks import CHECKS
from oddins_pipeline.sample_provider.faults import FAULTS
from oddins_pipeline_tests.support.service import Service
from oddins_pipeline_tests.support.variables import variables

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
PAGES = {page.stem: page.read_text("utf-8") for page in PROJECT.glob("docs/*.md")}
RUNS_THIS_TEST = "make test"


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def rows(page: str, head: str) -> list[list[str]]:
    """Cells of the table of `page` whose first column is called `head`."""
    lines = PAGES[page].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_command_runs(service: Service, tmp_path: Path) -> None:
    commands = [line for block in blocks("sh", README) for line in block.splitlines()]
    assert "make sync" in commands
    with_key = {**os.environ, **service.environment()}
    without_key = {**os.environ, "ODDINS_HOME": str(tmp_path / "home")}
    for command in commands:
        if command == RUNS_THIS_TEST:
            continue
        # The same environment as here, wherever `make` has put it.
        words = command.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        words = words.replace("make sync", f"{sys.executable} -m oddins_pipeline sync leagues")
        done = subprocess.run(
            ["/bin/sh", "-c", words],
            env=without_key if "--sample" in command else with_key,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_every_query_works(database: str) -> None:
    text = "\n".join([README, *PAGES.values()])
    statements = [s for block in blocks("sql", text) for s in block.split(";") if s.strip()]
    assert len(statements) >= 8
    with psycopg.connect(database) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_every_variable_is_listed_with_its_default() -> None:
    listed = {
        cells[0].strip("`"): cells[1].strip("`") for cells in rows("configuration", "variable")
    }
    fields = {variable.name: variable for variable in variables()}
    assert set(listed) == set(fields)
    for name, field in fields.items():
        if field.default is not None:
            assert listed[name] == str(field.default), name


def commands_of(group: click.Group, path: str) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands_of(command, f"{path} {name}")
        else:
            found[f"{path} {name}"] = command
    return found


def test_every_command_is_listed_with_its_options() -> None:
    lines = PAGES["commands"].splitlines()
    for path, command in commands_of(cli, "oddins").items():
        line = next((x for x in lines if x.startswith(f"| `{path}")), None)
        assert line is not None, f"{path} is not in the table of commands"
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"`{option.opts[0]}`" in line, f"{path} {option.opts[0]} is not in its line"


@pytest.mark.parametrize("cells", rows("schema", "table"), ids=lambda cells: cells[0].strip("`"))
def test_every_table_has_the_columns_that_are_listed(cells: list[str], database: str) -> None:
    table, description = cells[0].strip("`"), cells[1].split("; null")[0]
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,)
        ).fetchall()
    columns = {str(row[0]) for row in found}
    words = set(re.findall(r"`([a-z_]+)`", description)) - {"api-football"}
    assert words
    assert words <= columns


def test_every_fault_of_the_sample_provider_is_listed() -> None:
    listed = [name for cells in rows("faults", "faults") for name in cells[0].split(", ")]
    assert sorted(listed) == sorted(f"`{name}`" for name in FAULTS)


def test_no_table_of_the_catalog_is_left_out(database: str) -> None:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    stored = {str(row[0]) for row in found} - {"oddins_alembic_version"}
    assert stored == {cells[0].strip("`") for cells in rows("schema", "table")}


def test_every_view_is_listed_with_its_columns(database: str) -> None:
    listed = {cells[0].strip("`"): cells[1] for cells in rows("changes", "view")}
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT viewname FROM pg_views WHERE schemaname = 'public'"
        ).fetchall()
        assert {str(row[0]) for row in found} == set(VIEWS)
        for view in VIEWS:
            columns = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (view,)
            ).fetchall()
            for (column,) in columns:
                assert f"`{column}`" in listed[view], f"{view}.{column}"


def test_every_check_is_listed() -> None:
    names = " ".join(cells[0] for cells in rows("dagster", "check"))
    listed = set(re.findall(r"`([a-z_]+: [a-z_]+)`", names))
    of_lists = {
        f"{each.name}: {name}" for each in LISTS for name in ("freshness", "row_count_change")
    }
    assert listed == {f"{check.asset}: {check.name}" for check in CHECKS} | of_lists


def test_every_schedule_and_sensor_is_listed() -> None:
    listed = set(re.findall(r"`(\w+)`", " ".join(cells[0] for cells in rows("dagster", "name"))))
    definitions = build_definitions()
    defined = [*(definitions.schedules or ()), *(definitions.sensors or ())]
    assert listed == {one.name for one in defined}


def test_every_picture_is_there_and_small() -> None:
    link = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")
    pictures = [PROJECT / name for name in link.findall(README)]
    for page in PAGES.values():
        pictures += [PROJECT / "docs" / name for name in link.findall(page)]
    assert len(pictures) >= 3
    for picture in pictures:
        assert picture.stat().st_size < 300_000, picture


def test_readme_is_short_and_every_page_is_in_the_site(tmp_path: Path) -> None:
    assert len(README.splitlines()) <= 180
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        build, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    # A page that is not in the navigation, a broken link and a missing anchor are warnings.
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "schema" / "index.html").exists()
