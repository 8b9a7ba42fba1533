"""`GET /odds/bets`: the bet types of pre-match odds. `/odds/live/bets` has ids of its own."""

from __future__ import annotations

from oddins_pipeline.catalog.reference_list import NAME, NamedEntry, ReferenceList, name_of

BETS = ReferenceList(
    name="bets",
    singular="bet",
    path="/odds/bets",
    description="The bet types that pre-match odds refer to.",
    model=NamedEntry,
    columns=(NAME,),
    row=name_of,
)
