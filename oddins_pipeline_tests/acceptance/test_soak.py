"""A short soak in the suite; `make soak` makes it long."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from oddins_pipeline_tests.support.core import core_on
from oddins_pipeline_tests.support.feed import Copy, tables
from oddins_pipeline_tests.support.service import Service
from oddins_pipeline_tests.support.soak import Soak

DAYS = int(os.environ.get("ODDINS_SOAK_DAYS", "3"))
SEED = int(os.environ.get("ODDINS_SOAK_SEED", "7"))


def test_after_days_of_trouble_the_catalog_is_right_and_every_change_explained(
    service: Service, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    soak = Soak(service, tmp_path, SEED)
    soak.live(0)
    with core_on(service.database, base_url=service.provider.url) as core:
        consumer = Copy(core)
    soak.live(DAYS)
    with core_on(service.database, base_url=service.provider.url) as core:
        consumer._core = core
        consumer.poll()
        assert consumer.tables == tables(core)
    record_property("happened", str(dict(sorted(soak.happened.items()))))
