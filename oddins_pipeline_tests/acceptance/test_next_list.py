"""A third reference list, added to a copy of the package by CONTRIBUTING's recipe, syncs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import oddins_pipeline
from oddins_pipeline_tests.support.service import Service

DECLARATION = '''"""`GET /odds/live/toys`: a list that the provider does not have."""

from __future__ import annotations

from oddins_pipeline.catalog.reference_list import NAME, NamedEntry, ReferenceList, name_of

LIVE_TOYS = ReferenceList(
    name="live_toys",
    singular="live_toy",
    path="/odds/live/toys",
    description="What is played with.",
    model=NamedEntry,
    columns=(NAME,),
    row=name_of,
)
'''

MIGRATION = '''"""Reference list: live toys."""

from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE live_toys (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        provider_live_toy_id integer NOT NULL
            CONSTRAINT live_toys_provider_live_toy_id_key UNIQUE,
        name text,
        delisted_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    """)
'''

EDITS = {
    "catalog/lists.py": [
        ("LISTS = (", "LISTS = (LIVE_TOYS, "),
        (
            "from oddins_pipeline.catalog.entities import LEAGUES\n",
            (
                "from oddins_pipeline.catalog.entities import LEAGUES\n"
                "from oddins_pipeline.catalog.live_toys import LIVE_TOYS\n"
            ),
        ),
    ],
    "sample_provider/lists.py": [
        ("    return {", '    return {"/odds/live/toys": [{"id": 1, "name": "Over"}], ')
    ],
}


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, int, int]:
    """The parent of the copy, how many files are new, and how many lines were added."""
    package = tmp_path / "copy" / "oddins_pipeline"
    source = Path(oddins_pipeline.__file__).parent
    shutil.copytree(source, package)
    shutil.copy(source.parent / "dagster.yaml", package.parent)
    latest = max(path.name[:4] for path in package.glob("database/migrations/versions/0*.py"))
    revision = f"{int(latest) + 1:04d}"
    migration = MIGRATION.format(revision=revision, before=latest)
    new = {
        package / "catalog" / "live_toys.py": DECLARATION,
        package / f"database/migrations/versions/{revision}_live_toys.py": migration,
    }
    lines = 0
    for path, text in new.items():
        path.write_text(text)
        lines += len(text.splitlines())
    for name, edits in EDITS.items():
        for old, changed in edits:
            text = (package / name).read_text()
            assert old in text
            (package / name).write_text(text.replace(old, changed))
            lines += len(changed.splitlines())
    return package.parent, len(new), lines


def test_a_third_list_costs_two_files_and_eighty_lines_and_syncs(
    service: Service, copy: tuple[Path, int, int]
) -> None:
    directory, files, lines = copy
    assert files <= 3
    assert lines <= 80
    environment = {**service.environment(), "PYTHONPATH": str(directory)}
    with_sample = {"PYTHONPATH": str(directory), "APP_ENV": "local"}
    done = service.run("sync", "live_toys", "--json", "--sample", **with_sample)
    assert done.code == 0, done.stderr
    assert done.json["counts"]["live_toys"]["inserted"] == 1
    again = service.run("sync", "live_toys", "--json", "--sample", **with_sample)
    assert again.json["unchanged"] is True
    status = service.run("status", "--sample", **with_sample)
    assert "live_toys (api-football-sample): last synced" in status.stdout
    doctor = service.run("doctor", "--sample", **with_sample)
    assert "ok    schema" in doctor.stdout, doctor.stdout
    assert service.run("db", "upgrade", **environment).code == 0
