"""A session, the provider at its other end, and the model beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from oddins_pipeline.errors import OddinsError
from oddins_pipeline.pipeline.league_sync import LEAGUE_SYNC, LeagueFilter
from oddins_pipeline.pipeline.session import Session
from oddins_pipeline.pipeline.sync import Sync
from oddins_pipeline.sample_provider import SampleProvider


@dataclass
class Line:
    """A session, the provider at its other end, and the model beside it."""

    session: Session
    provider: SampleProvider
    connection: psycopg.Connection[Any]

    def clear(self) -> None:
        """An empty catalog."""
        self.connection.execute(
            "DELETE FROM season_coverage; DELETE FROM seasons; DELETE FROM leagues;"
            " DELETE FROM countries; DELETE FROM catalog_changes; DELETE FROM payload_anomalies;"
            " DELETE FROM provider_payloads; DELETE FROM provider_requests;"
            " DELETE FROM provider_sync_state"
        )

    def sync(self, body: bytes, *, full: bool = True, force: bool = False) -> OddinsError | None:
        """One sync over a real socket; the error when it was refused."""
        query = LeagueFilter() if full else LeagueFilter(season=2024)
        if not full:
            body = body.replace(b'"parameters": []', b'"parameters": {"season": "2024"}')
        self.provider.bodies = [body]
        try:
            Sync(self.session, LEAGUE_SYNC, force=force).run(query.params)
        except OddinsError as error:
            return error
        return None

    def everything(self) -> list[Any]:
        """Every row version of the four tables."""
        return [
            self.connection.execute(f"SELECT xmin::text, t::text FROM {table} t").fetchall()
            for table in ("countries", "leagues", "seasons", "season_coverage")
        ]

    def ids(self) -> dict[str, int]:
        return dict(self.connection.execute("SELECT name, id FROM countries").fetchall())
