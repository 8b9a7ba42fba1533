"""What the UI shows of a run: metrics that plot, changes that read, a provenance."""

from __future__ import annotations

import json
import logging
from typing import Any

import dagster as dg
import pytest

from oddins_pipeline import __version__
from oddins_pipeline.catalog.entities import LEAGUES
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.logs import JsonFormatter
from oddins_pipeline.orchestration.change_summary import escaped
from oddins_pipeline.orchestration.table_metadata import column_lineage, response_schema
from oddins_pipeline.sample_provider import generate_leagues
from oddins_pipeline.schema import CATALOG
from oddins_pipeline.schema.columns import NOT_COMPARED
from oddins_pipeline_tests.support.materialize import materialize
from oddins_pipeline_tests.support.responses import serve
from oddins_pipeline_tests.support.service import KEY, Service

PLOTTED = ("received", "inserted", "updated", "unchanged", "delisted")


def shown(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    for event in result.all_events:
        if event.is_step_materialization and event.asset_key == dg.AssetKey(name):
            return {
                key: value.value
                for key, value in event.step_materialization_data.materialization.metadata.items()
            }
    raise AssertionError(name)


def test_a_run_shows_metrics_changes_and_a_provenance(
    service: Service, instance: dg.DagsterInstance
) -> None:
    entries = generate_leagues(0.02)
    other = json.loads(json.dumps(entries))
    other[0]["league"]["name"] = "<b>Bold</b> | [x](http://evil.test) `tick`"
    other[0]["seasons"][0]["coverage"]["odds"] = not other[0]["seasons"][0]["coverage"]["odds"]
    serve(service, entries, other, other)
    first = materialize(instance, "raw_leagues", *LEAGUES.tables)
    assert shown(first, "leagues")["rows_inserted"] == len(entries)
    changed = materialize(instance, "raw_leagues", *LEAGUES.tables)
    raw = shown(changed, "raw_leagues")
    assert raw["leagues"] == len(entries)
    assert raw["quota_left"] == 7498
    assert isinstance(raw["fetch_seconds"], float)
    assert raw["software_version"] == __version__
    ((payload, size, sha256),) = service.query(
        "SELECT id, bytes, sha256 FROM provider_payloads ORDER BY id DESC LIMIT 1"
    )
    provenance = (raw["payload_id"], raw["payload_bytes"], raw["payload_sha256"])
    assert provenance == (payload, size, sha256)
    assert len(raw["settings_sha256"]) == 64
    tags = instance.get_run_by_id(changed.run_id).tags  # type: ignore[union-attr]
    assert tags["oddins/payload"] == str(payload)
    assert tags["oddins/version"] == __version__
    leagues = shown(changed, "leagues")
    assert leagues["dagster/table_name"] == "public.leagues"
    assert leagues["dagster/column_schema"].columns[0].name == "id"
    assert not leagues["unchanged"]
    assert shown(changed, "countries")["unchanged"], "no row of it moved"
    assert [leagues[f"rows_{what}"] for what in PLOTTED] == [
        *(len(entries), 0, 1, len(entries) - 1, 0)
    ]
    assert isinstance(leagues["publish_seconds"], float)
    assert r"\<b\>Bold\<\/b\> \| \[x\]\(http\:\/\/evil\.test\) \`tick\`" in leagues["changes"]
    assert "odds" in shown(changed, "season_coverage")["changes"]
    again = materialize(instance, "raw_leagues", *LEAGUES.tables)
    assert shown(again, "leagues")["changes"] == "nothing changed"
    assert KEY not in str(changed.all_events)


def test_every_column_but_our_own_comes_from_fields_of_the_response() -> None:
    fields = {column.name for column in response_schema(*CATALOG.values()).columns}
    for table in CATALOG.values():
        sources = column_lineage(table, "raw_leagues").deps_by_column
        assert set(sources) == set(table.columns.keys()) - NOT_COMPARED
        assert {dep.column_name for deps in sources.values() for dep in deps} <= fields


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("Premier League", "Premier League"),
        ("Türkiye Kupası", "Türkiye Kupası"),
        ("a|b", r"a\|b"),
        ("line\nbreak\x1b[2J", r"line break \[2J"),
        ("www.evil.test", r"www\.evil\.test"),
        ("<img src=x>", r"\<img src\=x\>"),
    ],
)
def test_text_of_the_provider_is_no_markup(text: str, harmless: str) -> None:
    assert escaped(text) == harmless


def test_the_settings_hash_reports_settings_apart_and_no_secret() -> None:
    def of(**changes: Any) -> str:
        return Settings(_env_file=None, **changes).fingerprint

    assert of() == of(api_key=KEY, database_url="postgresql://u:p@h/d")
    assert of() != of(stale_after_hours=27)


def test_an_expected_failure_is_a_sentence_without_a_trace_in_the_ui_and_a_line_of_json(
    service: Service, instance: dg.DagsterInstance
) -> None:
    service.provider.script("suspended")
    failed = materialize(instance, "raw_leagues")
    events = [entry for entry in instance.all_logs(failed.run_id) if entry.dagster_event]
    datas = [entry.dagster_event.event_specific_data for entry in events if entry.dagster_event]
    errors = [error for data in datas if (error := getattr(data, "error", None))]
    assert len(errors) == 2, "the step's and the run's"
    for error in errors:
        assert error.message.startswith("the provider has suspended the account")
        assert (error.stack, error.cause, error.context) == ([], None, None)
    (step,) = [entry for entry in events if entry.get_dagster_event().is_step_failure]
    record = logging.LogRecord("dagster", logging.ERROR, __file__, 1, step.user_message, (), None)
    vars(record)["dagster_meta"] = {"dagster_event": step.dagster_event, "orig_message": "failed"}
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == errors[0].message
    assert (line["code"], line["retryable"]) == ("suspended", False)
