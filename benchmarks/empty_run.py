"""An empty Dagster run: one asset that does nothing, materialized in the same instance."""

from __future__ import annotations

import time

import dagster as dg


@dg.asset
def nothing() -> None:
    """Does nothing."""


def load(url: str, provider: str) -> float:
    """Seconds of the run itself; the instance is the one of DAGSTER_HOME."""
    with dg.DagsterInstance.get() as instance:
        started = time.perf_counter()
        assert dg.materialize([nothing], instance=instance).success
        return time.perf_counter() - started
