"""Response bodies, and how a provider is made to serve them."""

from __future__ import annotations

import json
from typing import Any

from oddins_pipeline_tests.support.service import Service

Entries = list[dict[str, Any]]


def body_of(entries: Entries) -> bytes:
    """A full response over `entries`."""
    return json.dumps(
        {
            "get": "leagues",
            "parameters": [],
            "errors": [],
            "results": len(entries),
            "paging": {"current": 1, "total": 1},
            "response": entries,
        }
    ).encode()


def serve(service: Service, *responses: Entries) -> None:
    """Makes the provider send these, in turn; the last one stays."""
    service.provider.bodies = [body_of(entries) for entries in responses]


COVERAGE = {"fixtures": {"events": True}, "standings": True, "odds": False}


def league(number: int, country: str, code: str | None, *years: int) -> dict[str, Any]:
    return {
        "league": {"id": number, "name": f"League {number}", "type": "League", "logo": None},
        "country": {"name": country, "code": code, "flag": None},
        "seasons": [season(year) for year in years or (2024, 2025)],
    }


def season(year: int) -> dict[str, Any]:
    dates = {"start": f"{year}-08-01", "end": f"{year + 1}-05-31"}
    return {"year": year, **dates, "current": year == 2025, "coverage": dict(COVERAGE)}


def copied(entries: Entries) -> Entries:
    found: Entries = json.loads(json.dumps(entries))
    return found


ENTRIES = [
    league(1, "World", None),
    league(2, "Azerbaidjan", "AZ"),
    league(3, "Azerbaidjan", "AZ"),
    league(4, "Ukraine", "UA"),
    league(5, "Crimea", "UA"),
    league(6, "England", "GB"),
]
