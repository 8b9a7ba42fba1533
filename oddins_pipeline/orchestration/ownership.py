"""Whose a run is: one Dagster instance may serve several databases and code locations, which name
their jobs and assets alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from oddins_pipeline.database.connection import Connection, database_errors
from oddins_pipeline.database.identity import DATABASE_TAG, database_id


@dataclass(frozen=True)
class Owner:
    """This database, and this code location where its name is known."""

    database_id: str
    location: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """What marks a run as ours."""
        return {DATABASE_TAG: self.database_id}

    def owns(self, run: dg.DagsterRun) -> bool:
        """By its tag; the location decides only for a run that has not opened its session yet."""
        tag = run.tags.get(DATABASE_TAG)
        if tag is not None:
            return tag == self.database_id
        return self.location is not None and location_of(run) == self.location

    def adopt(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        """Marks a run as ours that nobody has marked, or that was copied from another's."""
        if run.tags.get(DATABASE_TAG) != self.database_id:
            instance.add_run_tags(run.run_id, self.tags)


def load_owner(connection: Connection, location: str | None = None) -> Owner:
    """The owner that the connection leads to. Raises DatabaseError."""
    with database_errors():
        return Owner(database_id(connection), location)


def location_of(run: dg.DagsterRun) -> str | None:
    """The code location that the run was launched from; None on the command line."""
    origin = run.remote_job_origin
    return origin.location_name if origin else None
