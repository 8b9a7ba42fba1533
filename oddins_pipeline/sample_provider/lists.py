"""Generated reference lists, with the quirks of the real ones."""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]


def generate_lists() -> dict[str, list[Entry]]:
    """Path → `response`: ids with gaps, a null name, and a name that two ids share."""
    bookmakers: list[Entry] = [
        {"id": number, "name": f"Bookmaker {number}"} for number in range(1, 36) if number % 9
    ]
    bookmakers[-1]["name"] = None
    bets: list[Entry] = [
        {"id": number, "name": f"Bet {number}"} for number in range(1, 101) if number % 8
    ]
    bets[-1]["name"] = bets[-3]["name"] = "Last Goal Scorer"
    return {"/odds/bookmakers": bookmakers, "/odds/bets": bets}
