"""A reference list: one response of the provider, without parameters, kept in one table.

A list is declared as one value, in a module of its own; plain functions take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from oddins_pipeline.catalog.entities import Entity
from oddins_pipeline.catalog.models import STRICT, ProviderId, Text
from oddins_pipeline.catalog.normalise import readable_id, reason_of
from oddins_pipeline.catalog.response import Entry, canonical_json
from oddins_pipeline.catalog.rows import Anomaly
from oddins_pipeline.catalog.text import clean_optional
from oddins_pipeline.errors import FORCE_HINT, ResponseRejectedError


class ListColumn(NamedTuple):
    """A nullable column: its PostgreSQL type, its description, and the field it comes from."""

    name: str
    type: str
    doc: str
    field: str


@dataclass(frozen=True)
class ReferenceList:
    """`name` is that of the table, the asset, the command and the sync state.

    `model` is a strict pydantic dataclass with an `id`; `row` gives the values of `columns` for one
    of them, or raises ValueError. `min_share` is the percentage of the listed rows that a response
    must hold, `max_quarantine_share` that of its entries that may be quarantined.
    """

    name: str
    singular: str
    path: str
    description: str
    model: type[Any]
    columns: tuple[ListColumn, ...]
    row: Callable[[Any], tuple[Any, ...]]
    min_share: float = 90
    max_quarantine_share: float = 10
    normaliser: int = 1

    @cached_property
    def entity(self) -> Entity:
        """What the lower layers know it as."""
        return Entity(self.name, self.name, self.path, (self.name,), self.normaliser)

    @property
    def key(self) -> str:
        """The column of the provider's id."""
        return f"provider_{self.singular}_id"

    @cached_property
    def validate(self) -> Callable[[Entry], Any]:
        """An entry to the model. Raises ValidationError, a ValueError."""
        return TypeAdapter(self.model).validator.validate_python


@dataclass(slots=True)
class NamedEntry:
    """An entry of `{"id": integer, "name": string or null}`, which most lists consist of."""

    __pydantic_config__ = STRICT
    id: ProviderId
    name: Text | None = None


NAME = ListColumn("name", "text", "null when the provider sends none; not unique", "name")


def name_of(entry: NamedEntry) -> tuple[str | None]:
    """The row of a named entry: an empty name is null. Raises ValueError."""
    return (clean_optional(entry.name),)


@dataclass(frozen=True)
class ListBatch:
    """One response as rows, `(provider id, *columns)`, sorted and free of duplicates.

    The stored rows of `quarantined` ids stay as they are; `delists` is False when an entry's id
    could not be read.
    """

    rows: list[tuple[Any, ...]]
    anomalies: Sequence[Anomaly]
    quarantined: frozenset[int]
    quarantined_items: int
    received_items: int
    delists: bool


def normalise_list(spec: ReferenceList, entries: list[Entry]) -> ListBatch:
    """What cannot be a row is quarantined, never raised. Of entries with the same id, the one with
    the smaller canonical JSON counts.
    """
    rows: dict[int, tuple[Any, ...]] = {}
    repeated: set[int] = set()
    unknown: set[str] = set()
    unreadable: list[tuple[int | None, str]] = []
    for entry in sorted(entries, key=canonical_json):
        try:
            item = spec.validate(entry)
            row = (item.id, *spec.row(item))
        except ValueError as error:
            number = readable_id(entry.get("id") if isinstance(entry, dict) else None)
            unreadable.append((number, reason_of(error)))
            continue
        unknown |= entry.keys() - set(spec.model.__slots__)
        if item.id in rows:
            repeated.add(item.id)
        rows.setdefault(item.id, row)
    anomalies = [
        Anomaly("quarantined_entry", {"id": number, "reason": why}) for number, why in unreadable
    ]
    anomalies += [Anomaly("duplicate_entry", {"id": number}) for number in sorted(repeated)]
    anomalies += [Anomaly("unknown_field", {"path": path[:200]}) for path in sorted(unknown)]
    return ListBatch(
        rows=[rows[number] for number in sorted(rows)],
        anomalies=anomalies,
        quarantined=frozenset(number for number, _ in unreadable if number is not None),
        quarantined_items=len(unreadable),
        received_items=len(entries),
        delists=all(number is not None for number, _ in unreadable),
    )


def check_list(spec: ReferenceList, batch: ListBatch, listed: set[int], *, force: bool) -> None:
    """The guard. Raises ResponseRejectedError naming the counts and the override.

    `force` skips the shrinkage check and the quarantine limit, never the check for an empty one.
    """
    if not batch.rows:
        raise ResponseRejectedError(
            f"the response holds no usable {spec.singular}; an empty response is never published",
            refusal_code="empty",
        )
    if force:
        return
    if batch.quarantined_items * 100 > spec.max_quarantine_share * batch.received_items:
        raise ResponseRejectedError(
            f"{batch.quarantined_items:,} of {batch.received_items:,} {spec.name} are malformed,"
            f" more than {spec.max_quarantine_share:g} %; {FORCE_HINT}",
            refusal_code="quarantine",
        )
    present = len(listed & ({row[0] for row in batch.rows} | batch.quarantined))
    if present * 100 < spec.min_share * len(listed):
        raise ResponseRejectedError(
            f"the response holds {present:,} of the {len(listed):,} listed {spec.name}; at least"
            f" {spec.min_share:g} % are expected; {FORCE_HINT}",
            refusal_code="shrunken",
        )
