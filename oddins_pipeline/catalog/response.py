"""The provider's response: bytes to entries, and the hash by which two are compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from operator import itemgetter, lt
from typing import Any

from pydantic_core import from_json, to_json

from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.catalog.models import Country, Coverage, FixtureCoverage, League, Season
from oddins_pipeline.catalog.requests import Params
from oddins_pipeline.errors import MalformedResponseError, RefusalCode, ResponseRejectedError

Entry = Any
"""One element of `response`, as parsed: not validated."""


@dataclass(frozen=True)
class RawResponse:
    """A response as it came: `body` is the content, decompressed, byte for byte; `entries` its
    `response`, which validation consumes; `fetched_at` the database server's time. With a
    `rejection` it is archived, and nothing else.
    """

    body: bytes
    params: Params
    entries: list[Entry] = field(repr=False)
    sha256: str
    fetched_at: datetime
    source: str
    base_url: str
    quota: Quota
    results: int
    seconds: float = 0.0
    rejection: ResponseRejectedError | None = None


MAX_DEPTH = 200
"""Levels of nesting."""
MAX_ITEMS = 2_000_000
"""Two hundred times today's: 64 MB can hold 30 million zeros, each an anomaly to store."""


def parse_body(body: bytes) -> Any:
    """JSON to plain values. Raises MalformedResponseError.

    The compiled parser first; it rejects lone surrogates, which are to be quarantined and not
    rejected (docs/provider.md), so the standard library parses a second time.
    """
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        pass
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
        return _not_too_deep(value)
    except UnicodeDecodeError:
        raise MalformedResponseError("the response is not UTF-8") from None
    except RecursionError:
        raise MalformedResponseError("the response is nested too deeply") from None
    except ValueError:
        raise MalformedResponseError("the response is not valid JSON") from None


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _not_too_deep(value: Any) -> Any:
    """The compiled parser's own limit, so that everything parsed can be traversed."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return value
    raise RecursionError


def errors_of(value: Any) -> dict[str, str]:
    """The envelope's `errors` in one form: key (lower case) to text; empty when there are none."""
    errors = value.get("errors") if isinstance(value, dict) else None
    found: dict[str, str] = {}
    for key, text in _pairs(errors):
        found[key] = f"{found[key]}; {text}" if key in found else text
    return found or ({"error": "without a text"} if errors else {})


def _pairs(errors: Any) -> Iterator[tuple[str, str]]:
    """Of an object, a list of objects or texts, or one text."""
    if isinstance(errors, dict):
        for key, text in errors.items():
            yield key.strip().lower(), _text(text)
    elif isinstance(errors, list):
        for item in errors:
            yield from _pairs(item) if isinstance(item, dict) else [("error", _text(item))]
    elif errors:
        yield "error", _text(errors)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_text(one) for one in value if not isinstance(one, dict | list))
    return f"({type(value).__name__})" if isinstance(value, dict) else str(value)


def entries_of(value: Any, path: str, params: Params) -> list[Entry]:
    """`response` of a whole envelope that echoes `GET path` with these `params`.

    Raises ResponseRejectedError naming what is wrong, and MalformedResponseError for no envelope.
    """
    if not isinstance(value, dict):
        raise MalformedResponseError("the response has no envelope")
    fault = _envelope_fault(value)
    if fault is not None:
        raise _rejection("envelope", fault)
    if not _answers(value, path, params):
        raise _rejection("mismatched", "the response is to another request than ours")
    entries: list[Entry] = value["response"]
    return entries


def _envelope_fault(value: dict[str, Any]) -> str | None:
    missing = sorted(_ENVELOPE - value.keys())
    if missing:
        return f"the response's envelope has no {', '.join(missing)}"
    if not isinstance(value["errors"], list | dict | str):
        return f"the response's `errors` is {_short(value['errors'])} instead of a list"
    entries = value["response"]
    if not isinstance(entries, list):
        return "the response's `response` is not a list"
    results, paging = value["results"], value["paging"]
    if type(results) is not int or results != len(entries):
        return f"the response says results={_short(results)} and holds {len(entries)} rows"
    total = paging.get("total") if isinstance(paging, dict) else None
    if type(total) is not int or total != 1:
        return f"the response has {_short(total)} pages instead of 1"
    if _items(entries) > MAX_ITEMS:
        return f"the response holds more than {MAX_ITEMS} leagues and seasons"
    return None


_ENVELOPE = frozenset({"get", "parameters", "errors", "results", "paging", "response"})


def _answers(value: dict[str, Any], path: str, params: Params) -> bool:
    """Whether `get` and `parameters` repeat the request; no parameters are `[]` or `{}`."""
    get, parameters = value["get"], value["parameters"]
    parameters = {} if parameters == [] else parameters
    if not isinstance(get, str) or not isinstance(parameters, dict):
        return False
    return get.strip("/") == path.strip("/") and _plain(parameters) == _plain(params)


def _plain(parameters: dict[str, Any]) -> dict[str, str]:
    """As text without case: numbers come back as text, and the other way round."""
    return {key.casefold(): str(text).strip().casefold() for key, text in parameters.items()}


def _rejection(code: RefusalCode, cause: str) -> ResponseRejectedError:
    return ResponseRejectedError(f"{cause}; report it if it persists", refusal_code=code)


def fingerprint(body: bytes) -> tuple[int, str]:
    """(`results`, hash) of a response that is rejected: of its list, or else of its bytes."""
    entries = parse_body(body).get("response")
    if isinstance(entries, list) and _items(entries) <= MAX_ITEMS:
        return len(entries), canonical_hash(entries)
    return 0, sha256(body).hexdigest()


def _items(entries: list[Entry]) -> int:
    """Leagues and seasons, whatever they are."""
    seasons = (entry.get("seasons") for entry in entries if isinstance(entry, dict))
    return len(entries) + sum(len(found) for found in seasons if isinstance(found, list))


def _short(value: Any) -> str:
    """A number, or the type of what stands in its place: untrusted, so not quoted."""
    return str(value)[:12] if type(value) is int else type(value).__name__


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces, ASCII."""
    return _encode(value)


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode


def canonical_hash(entries: list[Entry]) -> str:
    """SHA-256 (hex) of the entries, whatever the order of leagues, of seasons and of keys.

    Raises MalformedResponseError when an unknown field is nested beyond what can be compared.
    """
    try:
        digests = sorted(sha256(_canonical_entry(entry)).digest() for entry in entries)
    except (RecursionError, ValueError):
        raise MalformedResponseError("the response is nested too deeply") from None
    return sha256(b"".join(digests)).hexdigest()


_ENTRY = ("league", "country", "seasons")
_LEAGUE, _COUNTRY, _SEASON, _COVERAGE, _FIXTURES = (
    tuple(model.__slots__) for model in (League, Country, Season, Coverage, FixtureCoverage)
)
_ORDER = (*_ENTRY, *_LEAGUE, *_COUNTRY, *_SEASON, *_COVERAGE, *_FIXTURES)
_PLACES = {key: place for place, key in enumerate(dict.fromkeys(_ORDER))}


def _canonical_entry(entry: Entry) -> bytes:
    """One text for equal entries, whatever the order of keys and seasons.

    The text has the provider's own order, so that nearly every entry is written by compiled code
    as it is. Those in another order, or with an object where none is known, are put in order.
    """
    try:
        if _is_in_order(entry):
            text = to_json(entry)
            if text.count(b"{") == 3 + 3 * len(entry["seasons"]):
                return text
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return _text_of(_in_order(entry))


def _is_in_order(entry: Entry) -> bool:
    """Whether keys and seasons stand as `_in_order` would put them, as far as documented."""
    seasons = entry["seasons"]
    years = [season["year"] for season in seasons]
    return (
        tuple(entry) == _ENTRY
        and tuple(entry["league"]) == _LEAGUE
        and tuple(entry["country"]) == _COUNTRY
        and {int}.issuperset(map(type, years))
        and all(map(lt, years, years[1:]))
        and {_SEASON}.issuperset(map(tuple, seasons))
        and all(
            tuple(coverage) == _COVERAGE and tuple(coverage["fixtures"]) == _FIXTURES
            for coverage in [season["coverage"] for season in seasons]
        )
    )


def _in_order(entry: Entry) -> Entry:
    """The same with keys in their places, and seasons by year, or by text where years repeat."""
    entry = _keys_in_order(entry)
    seasons = entry.get("seasons") if isinstance(entry, dict) else None
    if not isinstance(seasons, list):
        return entry
    years = [season.get("year") if isinstance(season, dict) else None for season in seasons]
    if {int}.issuperset(map(type, years)) and len(set(years)) == len(years):
        return {**entry, "seasons": sorted(seasons, key=itemgetter("year"))}
    return {**entry, "seasons": sorted(seasons, key=_text_of)}


def _keys_in_order(value: Any) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (_PLACES.get(key, len(_PLACES)), key))
        return {key: _keys_in_order(value[key]) for key in keys}
    return [_keys_in_order(item) for item in value] if isinstance(value, list) else value


def _text_of(value: Any) -> bytes:
    try:
        return to_json(value)
    except ValueError:  # a lone surrogate, or nested deeply
        return json.dumps(value, separators=(",", ":")).encode("ascii")
