"""Dagster's schedule storage, which the daemon asks all day long."""

from __future__ import annotations

from typing import Any

from dagster_postgres import PostgresScheduleStorage


class ScheduleStorage(PostgresScheduleStorage):
    """dagster-postgres's schedule storage that remembers which of Dagster's migrations are done."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Starts with nothing remembered."""
        self._built: set[str] = set()
        super().__init__(*args, **options)

    def has_built_index(self, migration_name: str) -> bool:
        """Whether the migration is done. SqlScheduleStorage asks before nearly every call, where
        the run storage and the event log remember it.
        """
        if migration_name not in self._built and super().has_built_index(migration_name):
            self._built.add(migration_name)
        return migration_name in self._built
