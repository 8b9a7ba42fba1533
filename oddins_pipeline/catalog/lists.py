"""Every reference list, and every entity."""

from __future__ import annotations

from oddins_pipeline.catalog.bets import BETS
from oddins_pipeline.catalog.bookmakers import BOOKMAKERS
from oddins_pipeline.catalog.entities import LEAGUES

LISTS = (BOOKMAKERS, BETS)

ENTITIES = (LEAGUES, *(each.entity for each in LISTS))
"""What is synced: the leagues first."""

TABLES = tuple(table for entity in ENTITIES for table in entity.tables)
"""Every published table."""
