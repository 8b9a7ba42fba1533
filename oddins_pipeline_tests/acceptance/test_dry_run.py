"""The dry run: what would change and what the guard says, and nothing written but its request."""

from __future__ import annotations

import json
from typing import Any

from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import Service


def everything(service: Service) -> list[tuple[Any, ...]]:
    """Every row of every table but the log of requests."""
    tables = service.query(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'provider_requests' ORDER BY 1"
    )
    return [row for (table,) in tables for row in service.query(f"SELECT t::text FROM {table} t")]


def test_a_dry_run_reports_the_changes_and_the_guards_refusal_and_writes_nothing(
    service: Service,
) -> None:
    entries = generate_leagues(0.04)
    changed = json.loads(json.dumps(entries))
    changed[0]["league"]["name"] = "Renamed"
    serve(service, entries, changed, entries[:40], entries)
    assert service.sync().code == 0
    before, rows = everything(service), service.versions()
    renamed = service.sync("--dry-run")
    assert renamed.json["counts"]["leagues"]["updated"] == 1
    assert renamed.json["guard"] == "accepts"
    assert renamed.json["unchanged"] is False
    shrunk = service.sync("--dry-run")
    assert shrunk.code == 0
    assert shrunk.json["guard"].startswith("rejects: the response holds 80 % of the listed leagues")
    assert shrunk.json["counts"]["leagues"]["delisted"] == len(entries) - 40
    same = service.sync("--dry-run")
    assert same.json["unchanged"] is True
    service.provider.script("bad-key")
    assert service.sync("--dry-run").code == 1
    assert everything(service) == before
    assert service.versions() == rows
    assert service.query("SELECT count(*) FROM provider_requests WHERE path = '/leagues'") == [(5,)]
