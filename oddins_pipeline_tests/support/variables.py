"""The environment variables that the settings read, for the documentation's tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple

from oddins_pipeline.config.automation import PREFIX
from oddins_pipeline.config.settings import Settings


class Variable(NamedTuple):
    """One environment variable, for documentation."""

    name: str
    default: Any
    description: str


def variables() -> Iterator[Variable]:
    """Every variable that the settings read."""
    for name, field in Settings.model_fields.items():
        if name in {"http", "pool"}:
            kind: Any = field.annotation
            for part in fields(kind):
                described = kind.__pydantic_fields__[part.name]
                variable = f"{PREFIX}{name}_{part.name}".upper()
                yield Variable(variable, part.default, str(described.description))
        else:
            alias = str(field.validation_alias or f"{PREFIX}{name}".upper())
            yield Variable(alias, field.default, str(field.description))
