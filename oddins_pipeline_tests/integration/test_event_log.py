"""What Dagster's tables hold beside the events: as its own storage would have written it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.events import StepMaterializationData
from sqlalchemy import event, text

from oddins_pipeline_tests.integration.test_storage import DAGSTER_YAML

pytestmark = pytest.mark.filterwarnings("ignore:Handling yaml-defined logging:dagster.BetaWarning")
ODD = """100 % of 'it' is "\\%s" and :name, {x}; é\n--"""
THIRD = dg.AssetKey("third")
PARTITIONS = dg.StaticPartitionsDefinition(["2024", "it's 100 %"])


@dg.asset(check_specs=[dg.AssetCheckSpec("inside", asset="first")])
def first() -> Iterator[Any]:
    yield dg.AssetCheckResult(passed=False, metadata={"note": ODD})
    yield dg.Output(1, metadata={"note": ODD}, data_version=dg.DataVersion(ODD))


@dg.multi_asset(
    outs={name: dg.AssetOut(code_version="1") for name in ("second", "third")}, deps=[first]
)
def several(context: dg.AssetExecutionContext) -> Iterator[Any]:
    yield dg.Output(1, output_name="second", tags={"note": "tagged"})
    context.log_event(dg.AssetObservation("first", description=ODD))
    context.log_event(
        dg.AssetCheckEvaluation(dg.AssetKey("third"), "not_planned", True, description=ODD)
    )
    yield dg.Output(2, output_name="third")


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec(name, asset=of) for of in ("second", "third") for name in ("a", "b")]
)
def outside() -> Iterator[dg.AssetCheckResult]:
    for of in ("second", "third"):
        yield dg.AssetCheckResult(passed=True, asset_key=of, check_name="a")
        yield dg.AssetCheckResult(passed=False, asset_key=of, check_name="b", description=ODD)


@dg.asset(partitions_def=PARTITIONS, code_version="1")
def each_year() -> None: ...


@dg.asset
def fails() -> None:
    raise ValueError(ODD)


TABLES = (
    "* FROM asset_keys ORDER BY asset_key",
    "* FROM asset_event_tags ORDER BY event_id, key",
    "* FROM asset_check_executions ORDER BY id",
    "id, run_id, dagster_event_type, step_key, asset_key, partition FROM event_logs ORDER BY id",
)
VARYING = {"timestamp", "run_id", "event_timestamp", "create_timestamp", "job_snapshot_id"}


def history(home: Path) -> dict[str, list[list[Any]]]:
    """The rows that three runs leave behind, without what differs each time."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        dg.materialize([first, several, outside, fails], instance=instance, raise_on_error=False)
        dg.materialize([each_year], instance=instance, partition_key="it's 100 %")
        dg.materialize([first, several, outside], instance=instance)
        instance.report_runless_asset_event(dg.AssetMaterialization("first", description=ODD))
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(THIRD, "a", True))
        runs = [each.run_id for each in instance.get_runs()]
        storage: Any = instance.event_log_storage
        found = {}
        with storage.index_connection() as connection:
            for table in TABLES:
                rows = connection.execute(text(f"SELECT {table}"))
                found[table] = [
                    without_varying({**row, "id": 0}, [*runs, str(home)]) for row in rows.mappings()
                ]
    return found


def without_varying(row: dict[str, Any], names: list[str]) -> Any:
    plain = json.dumps(row, default=lambda _: "time", sort_keys=True)
    for number, name in enumerate(names):
        plain = plain.replace(name, f"name {number}")
    return json.loads(plain, object_hook=settled)


def settled(value: dict[str, Any]) -> dict[str, Any]:
    return {name: settled_text(name, each) for name, each in value.items()}


def settled_text(name: str, value: Any) -> Any:
    if name in VARYING and not isinstance(value, str):
        return "time"
    if isinstance(value, str) and value.startswith("{"):
        return json.loads(value, object_hook=settled)
    return value


def test_a_history_leaves_the_rows_of_dagsters_own_storage(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    config = yaml.safe_load(DAGSTER_YAML.read_text())
    theirs = {"postgres": {"postgres_url": database}}
    found = {}
    for name, storage in {"ours": config["storage"], "dagster's": theirs}.items():
        home = tmp_path / name
        home.mkdir()
        (home / "dagster.yaml").write_text(json.dumps({**config, "storage": storage}))
        found[name] = history(home)
    for table in TABLES:
        assert found["ours"][table] == found["dagster's"][table]


def test_a_signal_while_events_are_stored_loses_none(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        storage: Any = instance.event_log_storage
        prepare, signals = storage.prepare_insert_event_batch, iter([KeyboardInterrupt()])

        def interrupted(events: Any) -> Any:
            for signal in signals:
                raise signal
            return prepare(events)

        monkeypatch.setattr(storage, "prepare_insert_event_batch", interrupted)
        instance.report_engine_event("before", job_name="any", run_id="r")
        with pytest.raises(KeyboardInterrupt):
            storage.flush()
        instance.report_engine_event("after", job_name="any", run_id="r")
        assert [each.message for each in instance.all_logs("r")] == ["before", "after"]


def test_assets_are_read_with_one_statement_and_with_what_is_pending(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([each_year], instance=instance, partition_key="2024").success
        statements: list[str] = []
        storage: Any = instance.event_log_storage
        event.listen(storage._engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
        instance.report_engine_event("pending", job_name="any", run_id="r")
        instance.get_asset_records([each_year.key])
        assert len([each for each in statements if each.startswith("SELECT")]) == 1, statements
        written = dg.AssetMaterialization(each_year.key, partition="2024", description="newest")
        planned = instance.get_runs()[0]
        instance.report_dagster_event(materialization(written), run_id=planned.run_id)
        (record,) = instance.get_asset_records([each_year.key])
        assert record.asset_entry.last_materialization is not None
        found = record.asset_entry.last_materialization.asset_materialization
        assert found is not None
        assert found.description == "newest"


def materialization(written: dg.AssetMaterialization) -> dg.DagsterEvent:
    return dg.DagsterEvent(
        dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        "any",
        event_specific_data=StepMaterializationData(written),
    )
