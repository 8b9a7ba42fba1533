"""Whatever the provider responses: tables that equal an independent model, or untouched ones.

A hundred or so examples in the suite, the same each time; thousands of new ones by `make fuzz`.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddins_pipeline.catalog.normalise import normalise
from oddins_pipeline.catalog.response import canonical_hash, errors_of
from oddins_pipeline.catalog.rows import LeagueRow
from oddins_pipeline.config.workspace import load_workspace
from oddins_pipeline.pipeline.session import open_session
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline_tests.support.line import Line
from oddins_pipeline_tests.support.model import Catalog, read_tables
from oddins_pipeline_tests.support.model_response import FIXTURES, FLAGS, read
from oddins_pipeline_tests.support.mutations import BASE, any_json, damaged, mutated, strange
from oddins_pipeline_tests.support.responses import body_of
from oddins_pipeline_tests.support.service import KEY

EXAMPLES = settings().max_examples
ON_A_DATABASE = max(10, EXAMPLES // 3)


def assert_model(entries: list[Any]) -> None:
    """The normaliser says of `entries` what the model says."""
    batch, response = normalise(copy.deepcopy(entries)), read(copy.deepcopy(entries))
    assert [row._asdict() for row in batch.countries] == [
        {"name": name, **response.countries[name]} for name in sorted(response.countries)
    ]
    assert [row._asdict() for row in batch.leagues] == [
        {
            "provider_league_id": number,
            "country_name": response.leagues[number]["country"],
            **{what: response.leagues[number][what] for what in LeagueRow._fields[2:]},
        }
        for number in sorted(response.leagues)
    ]
    flags = ("fixtures", *FIXTURES.values(), *FLAGS)
    assert [tuple(row) for row in batch.seasons] == [
        (*key, *response.seasons[key].values(), *(response.coverage[key][flag] for flag in flags))
        for key in sorted(response.seasons)
    ]
    assert batch.quarantined_leagues == response.kept_leagues
    assert batch.quarantined_seasons == response.kept_seasons
    assert (batch.quarantined_items, batch.received_items) == (response.quarantined, response.items)
    assert batch.delists is response.delists
    json.dumps([anomaly.detail for anomaly in batch.anomalies]).encode("ascii")


@given(mutated(upto=12))
def test_a_good_response_changed_at_will_is_normalised_as_the_model_says(
    entries: list[Any],
) -> None:
    assert_model(entries)


@given(st.lists(any_json, max_size=4))
def test_any_json_whatever_is_normalised_as_the_model_says(entries: list[Any]) -> None:
    assert_model(entries)


@given(mutated(), st.randoms(use_true_random=False))
def test_the_order_of_elements_never_matters(entries: list[Any], chance: random.Random) -> None:
    batch, digest = normalise(copy.deepcopy(entries)), canonical_hash(entries)
    chance.shuffle(entries)
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("seasons"), list):
            chance.shuffle(entry["seasons"])
    assert canonical_hash(entries) == digest
    again = normalise(entries)
    assert sorted(map(repr, again.anomalies)) == sorted(map(repr, batch.anomalies))
    assert (again.countries, again.leagues, again.seasons) == (
        *(batch.countries, batch.leagues, batch.seasons),
    )


@given(strange)
def test_errors_of_any_form_are_empty_only_when_there_are_none(errors: Any) -> None:
    found = errors_of({"errors": errors})
    assert bool(found) is bool(errors)
    assert all(isinstance(text, str) for pair in found.items() for text in pair)


@pytest.fixture
def line(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    with SampleProvider(scale=0.01) as provider, psycopg.connect(database, autocommit=True) as own:
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("SPORTS_PROVIDER_API_KEY", KEY)
        monkeypatch.setenv("API_FOOTBALL_BASE_URL", provider.url)
        monkeypatch.setenv("ODDINS_HTTP_ATTEMPTS", "1")
        with open_session(load_workspace(), run_id="fuzz", lock_timeout=0) as session:
            yield Line(session, provider, own)


@settings(max_examples=ON_A_DATABASE)
@given(st.lists(st.tuples(mutated(upto=4), st.booleans(), st.booleans()), min_size=1, max_size=3))
def test_responses_in_turn_give_the_models_catalog_or_leave_the_tables_untouched(
    line: Line, responses: list[tuple[list[Any], bool, bool]]
) -> None:
    line.clear()
    model, shown = Catalog(), None
    numbers: dict[int, int] = {}
    for entries, full, force in [(BASE, True, False), *responses]:
        before = line.everything()
        expected = model.copy()
        accepted = expected.apply(entries, full=full, force=force)
        # What the tables show already is accepted again without a second judgement.
        accepted = accepted or (full, canonical_hash(entries)) == shown
        error = line.sync(body_of(entries), full=full, force=force)
        assert (error is None) is accepted, error
        if error is not None:
            assert line.everything() == before
            continue
        shown = (full, canonical_hash(entries))
        model = expected
        assert read_tables(line.connection) == model.tables()
        ids = line.ids()
        for name, row in model.countries.items():
            assert numbers.setdefault(row["number"], ids[name]) == ids[name]


@settings(max_examples=ON_A_DATABASE)
@given(st.data())
def test_damaged_bytes_give_the_models_catalog_or_leave_the_tables_untouched(
    line: Line, data: st.DataObject
) -> None:
    line.clear()
    assert line.sync(body_of(BASE)) is None
    before = line.everything()
    body = data.draw(damaged(body_of(BASE)))
    error = line.sync(body)
    if error is not None:
        assert line.everything() == before
        return
    model = Catalog()
    model.apply(BASE)
    assert model.apply(json.loads(body.decode("utf-8-sig"))["response"])
    assert read_tables(line.connection) == model.tables()


@pytest.mark.parametrize("spoilt", ["current", "year", "name", "id"])
def test_what_is_quarantined_keeps_its_stored_rows_listed(line: Line, spoilt: str) -> None:
    model, entries = Catalog(), copy.deepcopy(BASE)
    assert line.sync(body_of(entries)) is None
    assert model.apply(entries)
    place = entries[0]["league"] if spoilt in {"name", "id"} else entries[0]["seasons"][0]
    place[spoilt] = "spoilt" if spoilt != "name" else None
    assert line.sync(body_of(entries), force=True) is None
    assert model.apply(entries, force=True)
    assert read_tables(line.connection) == model.tables()
    assert not any(row["delisted"] for row in model.seasons.values())
