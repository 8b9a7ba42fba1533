"""PROVIDER's table of errors, row by row: the real client against the sample provider."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from time import sleep
from types import SimpleNamespace

import psycopg
import pytest

from oddins_pipeline import errors
from oddins_pipeline.catalog.account import Quota
from oddins_pipeline.database.requests import RequestLog
from oddins_pipeline.errors import ProviderError
from oddins_pipeline.provider.client import ApiFootball
from oddins_pipeline.provider.transport import _deadline
from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline.sample_provider.faults import SPELLINGS, envelope
from oddins_pipeline_tests.support.client import LIMITS, Bench, Time
from oddins_pipeline_tests.support.service import KEY


@pytest.fixture
def bench(shared_database: str) -> Iterator[Bench]:
    with (
        SampleProvider(scale=0.01) as provider,
        psycopg.connect(shared_database, autocommit=True) as connection,
    ):
        connection.execute("DELETE FROM provider_requests")
        yield Bench(provider, connection, Time())


ONCE = (
    ("no-key", errors.RejectedKeyError, 403, "the provider rejects the key"),
    ("bad-key", errors.RejectedKeyError, 200, "check SPORTS_PROVIDER_API_KEY"),
    ("403-html", errors.BlockedAddressError, 403, "blocked by the provider's firewall"),
    ("firewall", errors.BlockedAddressError, 403, "blocked by the provider's firewall"),
    ("not-subscribed", errors.WrongAddressError, 403, '"You are not subscribed to this API."'),
    ("endpoint", errors.WrongAddressError, 200, '"This endpoint do not exist."'),
    ("status@400", errors.WrongAddressError, 400, "check API_FOOTBALL_BASE_URL"),
    ("status@405", errors.WrongAddressError, 405, '"Something went wrong'),
    ("status@401", errors.RejectedKeyError, 401, "the provider rejects the key (HTTP 401)"),
    ("suspended", errors.SuspendedError, 200, '"Your account is suspended."'),
    ("errors-list", errors.SuspendedError, 200, "resolve it in the provider's dashboard"),
    ("error@ACCESS", errors.SuspendedError, 200, "has suspended the account"),
    ("plan", errors.PlanError, 200, "upgrade the plan"),
    ("ip", errors.BlockedAddressError, 200, "does not accept this host's address"),
    ("domain", errors.BlockedAddressError, 200, "add it to the account's list"),
    ("bad-parameter", errors.BadRequestError, 200, "refuses the parameter season"),
    ("unknown-error", errors.UnknownProviderError, 200, "Something that no client knows."),
    ("errors-string", errors.UnknownProviderError, 200, "Something went wrong."),
    ("status@404", errors.WrongAddressError, 404, "HTTP 404"),
    ("status@418", errors.UnknownProviderError, 418, 'HTTP 418 ("Something went wrong'),
    ("minute-by-requests@0", errors.QuotaError, 200, "daily request quota exhausted"),
    ("status@206", errors.UnknownProviderError, 206, "HTTP 206"),
    *(
        (f"echo-key@{spelling}", errors.MalformedResponseError, 200, "repeats the key")
        for spelling in SPELLINGS
    ),
)


@pytest.mark.parametrize(("fault", "kind", "status", "sentence"), ONCE, ids=[o[0] for o in ONCE])
def test_what_does_not_pass_is_asked_for_once(
    bench: Bench, fault: str, kind: type[ProviderError], status: int, sentence: str
) -> None:
    bench.provider.script(fault)
    error = bench.error()
    assert type(error) is kind
    assert sentence in str(error)
    assert not error.retryable
    assert [path for path in bench.paths if path != "/status"] == ["/leagues"]
    assert bench.time.slept == []
    assert bench.rows()[0] == ("/leagues", status, kind.code)


REPEATED = (
    ("bug", errors.ProviderFaultError, 200),
    ("bug-204", errors.ProviderFaultError, 204),
    ("204", errors.ProviderFaultError, 204),
    ("499", errors.ProviderFaultError, 499),
    ("500", errors.ProviderFaultError, 500),
    ("503", errors.ProviderFaultError, 503),
    ("redirect", errors.ProviderFaultError, 302),
    ("status@304", errors.ProviderFaultError, 304),
    ("reset", errors.TransportError, None),
    ("not-http", errors.TransportError, None),
    ("huge-headers", errors.TransportError, None),
    ("truncate", errors.TransportError, None),
    ("bad-gzip", errors.TransportError, None),
    ("not-json", errors.TransportError, 200),
    ("nothing", errors.TransportError, 200),
)


@pytest.mark.parametrize(("fault", "kind", "status"), REPEATED, ids=[o[0] for o in REPEATED])
def test_what_may_pass_is_tried_five_times_with_growing_pauses(
    bench: Bench, fault: str, kind: type[ProviderError], status: int | None
) -> None:
    bench.provider.script(",".join([fault] * 5))
    error = bench.error()
    assert type(error) is kind
    assert error.retryable
    assert "retry later" in str(error)
    assert bench.paths == ["/leagues"] * 5
    for pause, around in zip(bench.time.slept, (1, 2, 4, 8), strict=True):
        assert 0.5 * around <= pause <= 1.5 * around
    assert bench.rows() == [("/leagues", status, kind.code)] * 5


@pytest.mark.parametrize("fault", ["reset", "503", "bug", "rate-limit", "not-json", "truncate"])
def test_what_has_passed_is_forgotten(bench: Bench, fault: str) -> None:
    bench.provider.script(f"{fault},ok")
    assert bench.fetch().results == 12
    assert len(bench.paths) == 2
    assert [outcome for _, _, outcome in bench.rows()][-1] == "ok"


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        ("rate-limit", 60),
        ("minute-by-requests", 60),
        ("429", 60),
        ("429@7", 7),
        ("429@0", 1),
        ("429@nonsense", 60),
    ],
)
def test_the_minutes_limit_is_waited_for_as_asked_or_for_a_window(
    bench: Bench, fault: str, pause: float
) -> None:
    bench.provider.script(",".join([fault] * 5))
    error = bench.error()
    assert type(error) is errors.RateLimitError
    assert bench.time.slept == [pause] * 4
    assert [outcome for _, _, outcome in bench.rows()] == ["rate_limit"] * 5


def test_a_retry_after_in_the_form_of_a_date_is_waited_for(bench: Bench) -> None:
    when = datetime.now(timezone.utc) + timedelta(seconds=40)
    bench.provider._scripts["/leagues"] = [("429", format_datetime(when, usegmt=True))]
    bench.fetch()
    (pause,) = bench.time.slept
    assert 35 <= pause <= 40


@pytest.mark.parametrize("fault", ["429@121", "503@121", "429@86400"])
def test_a_longer_retry_after_is_not_shortened_the_sync_stops_and_says_when(
    bench: Bench, fault: str
) -> None:
    bench.provider.script(fault)
    error = bench.error()
    assert bench.time.slept == []
    assert len(bench.paths) == 1
    seconds = int(fault.split("@")[1])
    reported = str(error).split("retry after ")[1].removesuffix(" UTC")
    when = datetime.strptime(reported, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    assert abs((when - datetime.now(timezone.utc)).total_seconds() - seconds) < 10
    assert "in a minute" not in str(error)


def test_a_short_retry_after_of_a_fault_is_honoured(bench: Bench) -> None:
    bench.provider.script("503@100")
    bench.fetch()
    assert bench.time.slept == [100]


def test_all_attempts_together_end_within_their_time(bench: Bench) -> None:
    bench.provider.script("rate-limit:9")
    error = bench.error(replace(LIMITS, attempts=9, total_timeout=150))
    assert bench.time.slept == [60, 60]
    assert len(bench.paths) == 3
    assert "retry after" in str(error)


def test_a_redirect_carries_the_key_nowhere(bench: Bench) -> None:
    with SampleProvider(scale=0.01) as elsewhere:
        bench.provider._scripts["/leagues"] = [("redirect", f"{elsewhere.url}/leagues")]
        bench.error(replace(LIMITS, attempts=1))
        assert elsewhere.requests == []


@pytest.mark.parametrize("location", ["http://[", "//", "http://x:99999999/", "\\\\x", "a" * 9000])
def test_a_redirect_to_nonsense_is_a_fault_all_the_same(bench: Bench, location: str) -> None:
    bench.provider._scripts["/leagues"] = [("redirect", location)]
    error = bench.error(replace(LIMITS, attempts=1))
    assert error.retryable


def test_a_used_day_costs_one_request_and_a_free_question(bench: Bench) -> None:
    bench.provider.script("quota")
    error = bench.error()
    assert type(error) is errors.QuotaError
    assert "00:00 UTC" in str(error)
    assert bench.paths == ["/leagues", "/status"]
    assert bench.time.slept == []


@pytest.mark.parametrize("ends", ["2020-04-10T23:24:27+00:00", "2099-01-01T00:00:00+00:00"])
def test_a_lapsed_subscription_is_reported_from_a_used_day(bench: Bench, ends: str) -> None:
    bench.provider.subscription_ends = ends
    bench.provider.script("lapsed")
    error = bench.error()
    assert type(error) is errors.SubscriptionError
    assert ("2020-04-10" in str(error)) is ends.startswith("2020")
    assert "renew it" in str(error)


def test_a_subscription_past_its_end_with_requests_left_has_lapsed(bench: Bench) -> None:
    bench.provider.subscription_ends = "2020-04-10"
    bench.provider.script("quota")
    assert type(bench.error()) is errors.SubscriptionError
    bench.provider.day_remaining = 0
    bench.provider.script("quota")
    assert type(bench.error()) is errors.QuotaError


def test_errors_beside_rows_are_errors(bench: Bench) -> None:
    bench.provider.script("errors-with-rows")
    assert type(bench.error()) is errors.QuotaError


@pytest.mark.parametrize("key", ["token", "Token", "TOKEN"])
def test_keys_of_errors_are_compared_without_case(bench: Bench, key: str) -> None:
    bench.provider.script(f"error@{key}")
    assert type(bench.error()) is errors.RejectedKeyError


def test_text_of_the_provider_is_one_plain_line(bench: Bench) -> None:
    bench.provider.script("markup")
    sentence = str(bench.error())
    assert sentence.isprintable()
    assert "red" in sentence
    assert "line" in sentence


def test_headers_that_are_absent_are_unknown(bench: Bench) -> None:
    bench.provider.script("no-key")
    bench.error()
    row = bench.connection.execute(
        "SELECT day_limit, day_remaining, minute_limit, minute_remaining FROM provider_requests"
    ).fetchone()
    assert row == (None,) * 4


def test_limits_of_zero_say_nothing(bench: Bench) -> None:
    bench.provider.script("no-limits,ok")
    assert bench.fetch().quota == Quota()
    bench.fetch()
    assert bench.time.slept == []


def test_an_unreachable_provider_is_a_fault_of_the_network(bench: Bench) -> None:
    log = RequestLog(bench.connection, None, per_minute=8)
    clock = bench.time.clock()
    with (
        ApiFootball("http://127.0.0.1:9", KEY, LIMITS, log, clock=clock) as client,
        pytest.raises(errors.TransportError, match="refused"),
    ):
        client.fetch("/leagues", {})
    assert len(bench.rows()) == 5


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE"])
def test_an_unusable_proxy_or_certificate_is_named_and_not_quoted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "nonsense://user:s3cr3t@nowhere")
    log = RequestLog(bench.connection, None, per_minute=8)
    with pytest.raises(errors.UsageError, match=variable) as caught:
        ApiFootball("https://provider.invalid", KEY, LIMITS, log)
    assert "s3cr3t" not in str(caught.value)


def test_no_proxy_sees_what_is_meant_for_this_machine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert bench.fetch().results == 12


def test_a_connection_that_comes_up_late_is_shut_down() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    stream = SimpleNamespace(get_extra_info=lambda _name: ours)

    def connect() -> None:
        with _deadline(0) as trace:
            sleep(0.2)
            trace("connection.connect_tcp.complete", {"return_value": stream})
            assert theirs.recv(1) == b""

    with ours, theirs, pytest.raises(errors.TransportError, match="took longer than"):
        connect()


def test_an_error_that_repeats_the_key_is_quoted_without_it(bench: Bench) -> None:
    text = f"The key {KEY} is not known."
    bench.provider.bodies = [envelope([], errors={"token": text})]
    assert "The key *** is not known." in str(bench.error())
