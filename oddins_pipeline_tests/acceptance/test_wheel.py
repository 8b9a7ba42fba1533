"""The wheel that `make build` makes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from oddins_pipeline_tests.support.embedded import destroy

PROJECT = Path(__file__).parents[2]


def test_the_wheel_gives_a_working_oddins_in_an_empty_directory(tmp_path: Path) -> None:
    dist, home, directory = tmp_path / "dist", tmp_path / "home", tmp_path / "empty"
    directory.mkdir()
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", dist], cwd=PROJECT)
    (wheel,) = dist.glob("*.whl")
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    _run([*pip, "--no-deps", "--no-index", wheel], cwd=directory)
    # The dependencies of this environment, without the project's own editable install.
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    variables = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "ODDINS_HOME": str(home)}
    try:
        where = _run(
            [python, "-c", "import oddins_pipeline; print(oddins_pipeline.__file__)"],
            cwd=directory,
            env=variables,
        )
        assert str(environment) in where
        shown = _run(
            [environment / "bin" / "oddins", "sync", "leagues"], cwd=directory, env=variables
        )
    finally:
        destroy(home)
    assert "payload 1 published (sample data)" in shown
    assert list(directory.iterdir()) == []


def _run(command: list[object], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
