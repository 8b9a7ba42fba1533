"""Whose a run is: one Dagster instance may serve several databases and code locations, which name
their jobs and assets alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import dagster as dg

from oddins_pipeline.database.connection import Connection, database_errors
from oddins_pipeline.database.identity import DATABASE_TAG, database_id

CLOCK_TAG = "oddins/clock_behind"
"""The tag of a run that has opened its session: the whole seconds by which the clock of its host
is behind the database server's. Dagster's events have the host's time.
"""


@dataclass(frozen=True)
class Owner:
    """This database, and this code location where its name is known; `behind` is what the clock of
    this host is behind the server's.
    """

    database_id: str
    location: str | None = None
    behind: int = 0

    @property
    def tags(self) -> dict[str, str]:
        """What marks a run as ours."""
        return {DATABASE_TAG: self.database_id}

    @property
    def session_tags(self) -> dict[str, str]:
        """Those of a run that this process executes."""
        return {**self.tags, CLOCK_TAG: str(self.behind)}

    def now(self) -> datetime:
        """The server's time."""
        return datetime.now(timezone.utc) + timedelta(seconds=self.behind)

    def server_time(self, at: datetime, run: dg.DagsterRun | None = None) -> datetime:
        """The server's time when this host's clock, or that of the run's host, showed `at`. Before
        a run opens its session, its clock is taken for this one.
        """
        behind = run.tags.get(CLOCK_TAG) if run else None
        return at + timedelta(seconds=self.behind if behind is None else int(behind))

    def owns(self, run: dg.DagsterRun) -> bool:
        """By its tag; the location decides only for a run that has not opened its session yet."""
        tag = run.tags.get(DATABASE_TAG)
        if tag is not None:
            return tag == self.database_id
        return self.location is not None and location_of(run) == self.location

    def adopt(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        """Marks a run as ours that nobody has marked, or that was copied from another's."""
        if not self.session_tags.items() <= run.tags.items():
            instance.add_run_tags(run.run_id, self.session_tags)


def load_owner(connection: Connection, location: str | None = None) -> Owner:
    """The owner that the connection leads to. Raises DatabaseError."""
    with database_errors():
        found, now = database_id(connection)
    return Owner(found, location, round((now - datetime.now(timezone.utc)).total_seconds()))


def location_of(run: dg.DagsterRun) -> str | None:
    """The code location that the run was launched from; None on the command line."""
    origin = run.remote_job_origin
    return origin.location_name if origin else None
