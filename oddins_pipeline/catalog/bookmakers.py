"""`GET /odds/bookmakers`: whose odds the provider has."""

from __future__ import annotations

from oddins_pipeline.catalog.reference_list import NAME, NamedEntry, ReferenceList, name_of

BOOKMAKERS = ReferenceList(
    name="bookmakers",
    singular="bookmaker",
    path="/odds/bookmakers",
    description="The bookmakers that odds refer to.",
    model=NamedEntry,
    columns=(NAME,),
    row=name_of,
)
