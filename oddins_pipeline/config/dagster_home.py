"""Dagster's home: DAGSTER_HOME, else a directory of the local state with our dagster.yaml in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from oddins_pipeline.config.settings import Settings
from oddins_pipeline.errors import UsageError

CONFIG = "dagster.yaml"


def home_from_env() -> Path | None:
    """DAGSTER_HOME; None when it is not set. Raises UsageError when it is no directory."""
    named = os.environ.get("DAGSTER_HOME")
    if not named:
        return None
    home = Path(os.path.expanduser(named))  # noqa: PTH111 - leaves a user that is none
    if not os.path.isdir(home):  # noqa: PTH112 - no error for a name that is too long
        raise UsageError(
            f"DAGSTER_HOME={named} is not a directory; create it and copy the project's {CONFIG}"
            " there, or leave the variable out"
        )
    return home.absolute()


def dagster_home(settings: Settings) -> Path:
    """The directory of the instance; made, with our dagster.yaml, when it is our own."""
    home = home_from_env()
    if home is not None:
        return home
    home = default_home(settings)
    source, copy = instance_config(), home / CONFIG
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            shutil.copyfile(source, copy)
    except OSError as error:
        raise UsageError(
            f"Dagster's home {home} cannot be made ({error.strerror});"
            " set ODDINS_HOME or DAGSTER_HOME"
        ) from None
    return home


def default_home(settings: Settings) -> Path:
    """Where Dagster's home is when DAGSTER_HOME is not set."""
    return settings.state_directory / "dagster"


def instance_config() -> Path:
    """Our dagster.yaml: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / CONFIG
    return inside if inside.is_file() else package.parent / CONFIG
