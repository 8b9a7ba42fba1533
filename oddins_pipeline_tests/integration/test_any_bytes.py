"""Whatever bytes come: a clean row, a quarantined one or a clean refusal, in bounded time."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from oddins_pipeline import errors
from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.catalog.response import entries_of, parse_body
from oddins_pipeline.config.settings import Settings
from oddins_pipeline.config.workspace import Target, Workspace
from oddins_pipeline.errors import MalformedResponseError, OddinsError, ResponseRejectedError
from oddins_pipeline.pipeline.session import open_session
from oddins_pipeline.provider.transport import _inflated
from oddins_pipeline.sample_provider import SampleProvider, generate_leagues
from oddins_pipeline_tests.support.client import LIMITS, Bench, Time
from oddins_pipeline_tests.support.line import Line
from oddins_pipeline_tests.support.service import KEY, Service

SMALL = replace(LIMITS, attempt_timeout=1, attempts=1, max_body_mb=1)


@pytest.fixture
def bench(shared_database: str) -> Iterator[Bench]:
    with (
        SampleProvider(scale=0.05) as provider,
        psycopg.connect(shared_database, autocommit=True) as connection,
    ):
        connection.execute("DELETE FROM provider_requests")
        yield Bench(provider, connection, Time())


@pytest.mark.parametrize("fault", ["huge", "gzip-bomb@100"])
def test_a_body_beyond_the_cap_is_left_at_the_cap(bench: Bench, fault: str) -> None:
    bench.provider.script(fault)
    error = bench.error(replace(SMALL, attempt_timeout=30, attempts=5))
    assert type(error) is errors.MalformedResponseError
    assert "larger than 1 MB" in str(error)
    assert "ODDINS_HTTP_MAX_BODY_MB" in str(error)
    assert len(bench.paths) == 1


def test_a_bomb_is_inflated_no_further_than_the_cap() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert max(map(len, _inflated(iter([bomb]), 1_000))) <= 1_001


@pytest.mark.parametrize(
    "fault", ["drip@0.2", "drip-headers@0.2", "hang@30", "endless-100"], ids=lambda f: f
)
def test_a_slow_response_ends_with_the_attempt(bench: Bench, fault: str) -> None:
    bench.provider.script(fault)
    started = time.monotonic()
    error = bench.error(SMALL)
    assert type(error) is errors.TransportError
    assert time.monotonic() - started < 15
    assert [outcome for _, _, outcome in bench.rows()] == ["transport_fault"]


@pytest.mark.parametrize("fault", ["deep", "wrong-charset", "latin-1", "huge-integer"])
def test_bytes_that_are_no_response_are_refused(bench: Bench, fault: str) -> None:
    bench.provider.script(fault)
    error = bench.error(replace(LIMITS, attempts=1))
    assert type(error) is errors.TransportError
    assert str(error).isprintable()


@pytest.mark.parametrize("levels", [150, 250, 900, 5_000, 100_000])
def test_deep_nesting_is_parsed_or_refused_and_never_crashes(levels: int) -> None:
    for body in (b"[" * levels + b"]" * levels, b'{"a":' * levels + b"1" + b"}" * levels):
        # A lone surrogate sends it to the second parser.
        for text in (body, b'["\\ud800",' + body + b"]"):
            if levels == 150:
                assert parse_body(text)
                continue
            with pytest.raises(MalformedResponseError, match="nested too deeply"):
                parse_body(text)


@pytest.mark.parametrize(
    "entries", ["[" + "0," * 2_000_000 + "0]", '[{"seasons":[' + "0," * 1_999_999 + "0]}]"]
)
def test_more_items_than_can_be_are_refused(entries: str) -> None:
    results = entries.count("0,") + 1 if entries.startswith("[0") else 1
    envelope = (
        '{"get":"leagues","parameters":[],"errors":[],"paging":{"total":1},'
        f'"results":{results},"response":{entries}}}'
    )
    with pytest.raises(ResponseRejectedError, match="more than 2000000 leagues and seasons"):
        entries_of(parse_body(envelope.encode()), "/leagues", {})


@pytest.fixture
def line(database: str) -> Iterator[Line]:
    with SampleProvider(scale=0.3) as provider, psycopg.connect(database, autocommit=True) as own:
        known = Settings(
            _env_file=None,
            database_url=database,
            api_key=KEY,
            base_url=provider.url,
            http=RequestLimits(attempts=1),
        )
        workspace = Workspace(known, Target(sample=False, embedded=None), database)
        with open_session(workspace, run_id="bytes", lock_timeout=0) as session:
            yield Line(session, provider, own)


def test_oddities_give_clean_rows_or_quarantined_ones(line: Line) -> None:
    expected = {
        "bom": [],
        "nul": ["quarantined_league"],
        "surrogate": ["quarantined_league"],
        "absurd-date": ["quarantined_season"],
        "huge-number": ["quarantined_season"],
        "duplicate-keys": [],
        "unknown-field": ["unknown_field"],
    }
    assert line.sync(b"") is not None
    for fault, kinds in expected.items():
        line.provider.script(fault)
        error: OddinsError | None = line.sync(b"")
        assert error is None, fault
        found = line.connection.execute(
            "SELECT kind FROM payload_anomalies WHERE kind <> 'duplicate_season'"
            " AND payload_id = (SELECT max(id) FROM provider_payloads)"
        ).fetchall()
        assert [kind for (kind,) in found] == kinds, fault
    assert (
        len(generate_leagues(0.3))
        == line.connection.execute(
            "SELECT count(*) FROM leagues WHERE delisted_at IS NULL"
        ).fetchall()[0][0]
    )


def test_no_response_is_a_stack_trace_on_the_command_line(service: Service) -> None:
    assert service.sync().code == 0
    before = service.versions()
    for fault in ("gzip-bomb@20", "markup"):
        service.provider.script(fault)
        done = service.sync(ODDINS_HTTP_ATTEMPTS="1", ODDINS_HTTP_MAX_BODY_MB="1")
        assert done.code == 1
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert "File " not in done.stderr
        assert "\x1b" not in done.stderr
    assert service.versions() == before
