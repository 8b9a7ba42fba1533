"""The settings that definitions need, and what all settings share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from oddins_pipeline.config.validation import cron_problem, zone_problem

PREFIX = "ODDINS_"
V = TypeVar("V")


def checked(value: V, problem: Callable[[V], str | None]) -> V:
    """`value`. Raises ValueError with the problem that is found in it."""
    found = problem(value)
    if found:
        raise ValueError(found)
    return value


class AutomationSettings(BaseSettings):
    """What decides the code location's schedules and sensors, read when definitions load."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    automation: Literal["on", "off"] = Field(
        "off", description="whether schedules and sensors start running by themselves"
    )
    sync_cron: str = Field("17 5 * * *", description="when the daily sync runs")
    lists_cron: str = Field("47 5 * * 1", description="when the reference lists are synced")
    sync_timezone: str = Field("UTC", description="the time zone of the schedules")

    @field_validator("sync_cron", "lists_cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        return checked(value.strip(), cron_problem)

    @field_validator("sync_timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return checked(value.strip(), zone_problem)

    @field_validator("automation", mode="before")
    @classmethod
    def _lower_case(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value
