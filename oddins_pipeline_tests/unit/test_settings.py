"""Configuration: what is accepted, what is refused, and that nothing secret is quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from oddins_pipeline.config.settings import RENAMED, Settings, load_settings
from oddins_pipeline.config.workspace import choose_target
from oddins_pipeline.errors import UsageError

SECRET = "s3cr3t'pass%w\u00f6rd"  # noqa: S105


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        choose_target(load_settings())
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{SECRET}@host/db",
        f"mysql://user:{SECRET}@host/db",
        f"postgresql://user:{SECRET}@host:port/db",
        "postgresql://user:s3cr3t%00@host/db",
        "postgresql://user:s3cr3t%ff@host/db",
        "postgresql://user:s3cr3t@[host/db",
        "postgresql://user:s3cr3t@host",
    ],
)
def test_a_wrong_address_is_refused_without_quoting_it(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    reported = refusal(monkeypatch, DATABASE_URL=url)
    assert reported.startswith("DATABASE_URL")
    assert "postgresql://user:password@host:5432/database" in reported
    assert "s3cr3t" not in reported


@pytest.mark.parametrize("key", ["k\u00e9y-s3cr3t", "two words s3cr3t", "line\nbreak-s3cr3t"])
def test_an_impossible_key_is_refused_without_quoting_it(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    reported = refusal(monkeypatch, SPORTS_PROVIDER_API_KEY=key)
    assert reported.startswith("SPORTS_PROVIDER_API_KEY")
    assert "s3cr3t" not in reported


def test_a_key_from_a_file_may_end_in_a_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPORTS_PROVIDER_API_KEY", "abc\"'%20\r\n")
    settings = load_settings()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "abc\"'%20"
    assert "abc" not in repr(settings) + str(settings)


def test_a_dotenv_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("ODDINS_STALE_AFTER_HOURS=12\nODDINS_LOCK_TIMEOUT=3\n")
    monkeypatch.setenv("ODDINS_LOCK_TIMEOUT", "5")
    settings = load_settings()
    assert settings.stale_after_hours == 12
    assert settings.lock_timeout == 5


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_reported_with_its_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str
) -> None:
    expected = f"{old} is now called {new}; rename it"
    assert expected in refusal(monkeypatch, **{old: "30"})
    monkeypatch.delenv(old)
    (tmp_path / ".env").write_text(f"{old}=30\n")
    assert expected in refusal(monkeypatch)


def test_a_wrong_value_of_a_group_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = refusal(monkeypatch, ODDINS_HTTP_ATTEMPTS="many", ODDINS_POOL_SIZE="0")
    assert found.splitlines()[0].startswith("ODDINS_HTTP_ATTEMPTS is not usable")
    assert found.splitlines()[1].startswith("ODDINS_POOL_SIZE is not usable")


def test_variables_that_are_not_ours_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODDINS_HOME")
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "7")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("APP_ENV")
    assert load_settings().model_fields_set == set()


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = refusal(
        monkeypatch,
        APP_ENV="prod",
        DATABASE_URL="nonsense",
        ODDINS_HTTP_ATTEMPTS="many",
        ODDINS_STALE_AFTER_HOURS="-1",
    )
    for name in ("APP_ENV", "DATABASE_URL", "ODDINS_HTTP_ATTEMPTS", "ODDINS_STALE_AFTER_HOURS"):
        assert f"{name} " in reported
    assert "local, staging, production" in reported


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_outside_local_nothing_is_assumed(
    monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    reported = refusal(monkeypatch, APP_ENV=environment)
    assert "DATABASE_URL is missing" in reported
    assert "SPORTS_PROVIDER_API_KEY is missing" in reported


def test_outside_local_the_key_never_travels_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = refusal(
        monkeypatch,
        APP_ENV="production",
        API_FOOTBALL_BASE_URL="http://provider.example",
        DATABASE_URL="postgresql://u:p@host/db",
        SPORTS_PROVIDER_API_KEY="abc",
    )
    assert "API_FOOTBALL_BASE_URL uses plain http" in reported


def test_the_published_development_password_is_refused_outside_local(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported = refusal(
        monkeypatch,
        APP_ENV="production",
        DATABASE_URL="postgresql://oddins:oddins_dev@host/db",
        SPORTS_PROVIDER_API_KEY="abc",
    )
    assert "development password" in reported


def test_the_sample_provider_is_for_local_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "staging")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@host/db")
    with pytest.raises(UsageError, match="--sample is only for APP_ENV=local"):
        choose_target(load_settings(), sample=True)


@pytest.mark.parametrize(
    ("url", "key", "sample", "embedded"),
    [
        (None, None, True, "oddins_sample"),
        (None, "abc", False, "oddins_odds"),
        ("postgresql://u:p@host/db", "abc", False, None),
    ],
)
def test_the_table_of_targets(
    monkeypatch: pytest.MonkeyPatch,
    url: str | None,
    key: str | None,
    sample: bool,
    embedded: str | None,
) -> None:
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
    if key:
        monkeypatch.setenv("SPORTS_PROVIDER_API_KEY", key)
    target = choose_target(load_settings())
    assert (target.sample, target.embedded) == (sample, embedded)
