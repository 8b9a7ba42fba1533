"""The database's URL: what libpq reads is accepted, what is ambiguous refused, nothing quoted."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from oddins_pipeline.config import database_url
from oddins_pipeline.config.settings import DEVELOPMENT_PASSWORD, load_settings
from oddins_pipeline.errors import UsageError
from oddins_pipeline.logs import redact
from oddins_pipeline.orchestration.storage import storage_url

WORD = "s3cretword"


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    file.write_text(
        f"[odds]\nhost=h\npassword={WORD}\n[slow]\nconnect_timeout=soon\n[far]\nport=1,70000\n"
        "[two]\nhost=h,i\nport=1,2,3\n[odd]\nnonsense=1\n[newer]\nhost=h\ndbname=db\nmax_protocol_version=3.0\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize(
    ("rest", "variables", "problem"),
    [
        ("/?service=nosuch", {}, 'refuses: definition of service "nosuch" not found'),
        ("/db", {"PGSERVICE": "nosuch"}, 'refuses: definition of service "nosuch" not found'),
        ("/?service=x", {"PGSERVICEFILE": "/nowhere"}, 'service file "/nowhere" not found'),
        ("/?service=odd", {}, "refuses: syntax error in service file"),
        ("/?service=newer", {}, "has a service with the parameter max_protocol_version, which"),
        ("/?service=slow", {}, "has a connect_timeout that is not a whole number"),
        ("/?service=far", {}, "has a port that is not a number"),
        ("/?service=two", {}, "has not as many ports as hosts"),
        ("h/db?connect_timeout=1s", {}, "has a connect_timeout that is not a whole number"),
        ("h/db", {"PGCONNECT_TIMEOUT": "x"}, "has a connect_timeout that is not a whole number"),
        ("h/db?tcp_user_timeout=99999999999", {}, "has a tcp_user_timeout"),
        ("h/db", {"PGPORT": "x"}, "has a port that is not a number"),
        ("h/db", {"PGSSLMODE": "x"}, "has an sslmode that is not one of"),
        (f"h/db?channel_binding={WORD}", {}, "refuses: invalid channel_binding value"),
        (f"h/db?ssl_min_protocol_version={WORD}", {}, 'invalid "ssl_min_protocol_version" value'),
        (f"h/db?require_auth={WORD}", {}, "refuses: invalid require_auth value"),
        (f"h/db?target_session_attrs={WORD}", {}, "refuses: invalid target_session_attrs value"),
        ("h,i/db?hostaddr=::1", {}, "could not match 2 host names to 1 hostaddr values"),
    ],
)
def test_what_libpq_refuses_is_a_problem_before_any_connection(
    monkeypatch: pytest.MonkeyPatch,
    rest: str,
    variables: dict[str, str],
    problem: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{rest}")
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value).startswith("DATABASE_URL has ")
    assert problem in str(caught.value)
    assert WORD not in str(caught.value)


@pytest.mark.usefixtures("services")
def test_a_services_password_is_masked_and_judged_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql:///?service=odds")
    load_settings()
    assert WORD not in redact(f"failed: {WORD}")
    monkeypatch.delenv("PGSERVICEFILE")
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/db")
    monkeypatch.setenv("PGPASSWORD", DEVELOPMENT_PASSWORD)
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(UsageError, match="published development password"):
        load_settings()


@pytest.mark.parametrize("sign", ["@", "/", "?", "#", "@/", "/@", "/x?", "?a=b&", "#@", "%", " "])
@pytest.mark.parametrize("form", ["u:{}@h/db", "u:{}@h:1,h2:2/db", "h/db?password={}@x"])
def test_an_ambiguous_password_is_refused_without_quoting_it(
    monkeypatch: pytest.MonkeyPatch, sign: str, form: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://" + form.format(f"{WORD}{sign}t41l"))
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value).startswith("DATABASE_URL ")
    assert WORD not in str(caught.value)
    assert "t41l" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("schema=public", "schema"),
        ("sslmode=require&pgbouncer=true", "pgbouncer"),
        ("ssl=1", "ssl"),
        ("connection_limit=5&password=x", "connection_limit"),
    ],
)
def test_a_parameter_of_another_tool_is_refused_by_name(query: str, named: str) -> None:
    found = database_url.problem(f"postgresql://u:p@h/db?{query}")
    assert found == f"has the parameter {named}, which libpq does not know; leave it out"


@pytest.mark.parametrize("named", ["max_protocol_version", "oauth_client_secret", "sslkeylogfile"])
def test_a_parameter_that_only_one_of_the_two_drivers_knows_is_refused_by_name(named: str) -> None:
    found = database_url.problem(f"postgresql://u:p@h/db?sslmode=require&{named}={WORD}")
    assert found is not None
    assert found.startswith(f"has the parameter {named}, which the libpq of Dagster's storage")
    assert WORD not in found


def test_the_rest_of_a_password_is_not_taken_for_a_parameters_name() -> None:
    found = database_url.problem(f"postgresql://h/db?password=a&{WORD}=1")
    assert found is not None
    assert "%26" in found
    assert WORD not in found


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize(
    ("rest", "expected", "place"),
    [
        ("u:p@h1:1,h2:2/db", {"host": "h1,h2", "port": "1,2"}, "db on h1:1, h2:2"),
        ("u:p@h1,h2/db?port=7", {"host": "h1,h2", "port": "7,7"}, "db on h1:7, h2:7"),
        ("u@%2Frun%2Fpg:7/db", {"host": "/run/pg", "port": "7"}, "db on local socket:7"),
        ("/db?host=/run/pg", {"host": "/run/pg"}, "db on local socket"),
        ("u:p@[fd00::1]:6/db", {"host": "fd00::1", "port": "6"}, "db on fd00::1:6"),
        ("[::1],[::2]/db", {"host": "::1,::2"}, "db on ::1, ::2"),
        ("u:p@h/db?ssl=true", {"sslmode": "require"}, "db on h"),
        ("h/db?password=a+b%26", {"password": "a+b&"}, "db on h"),
        ("u%40srv:p%2F@h/db", {"user": "u@srv", "password": "p/"}, "db on h"),
        (":7/db", {"port": "7"}, "db on local socket:7"),
        ("/?service=odds", {"service": "odds"}, "the database of service odds"),
        ("h/db?options=-cwork_mem%3D8MB", {}, "db on h"),
    ],
)
def test_what_libpq_reads_reaches_both_drivers(
    rest: str, expected: dict[str, str], place: str
) -> None:
    url = f"postgresql://{rest}"
    assert database_url.problem(url) is None
    assert database_url.parse(url).items() >= expected.items()
    assert database_url.describe(url) == place
    made = make_url(storage_url(url))
    _, arguments = create_engine(made).dialect.create_connect_args(made)
    assert {name: str(value) for name, value in arguments.items()}.items() >= expected.items()
    assert " -csearch_path=dagster -ctimezone=UTC" in f" {arguments['options']}"


@pytest.mark.parametrize(
    "rest",
    [
        f"u:{WORD}@h/db",
        f":{WORD}@h/db",
        f"u@h/db?password={WORD}",
        f"u@h/db?p%61ssword={WORD}&sslmode=require",
        f"u@h/db?sslpassword={WORD}&passfile=/{WORD}",
        f"u:{WORD}@h/db?%70assfile={WORD}",
    ],
)
def test_no_spelling_of_a_secret_is_shown(monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    url = f"postgresql://{rest}"
    monkeypatch.setenv("DATABASE_URL", url)
    load_settings()
    assert WORD not in database_url.masked(url)
    assert WORD not in str(database_url.without_secrets(url)[0])
    if "=/" not in rest and "%70assfile" not in rest:
        assert WORD not in redact(f"failed: {url}")
