"""What an environment may hold: refused by name before any connection, or it works."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from pathlib import Path

import certifi
import pytest

from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.config.dagster_home import home_from_env
from oddins_pipeline.config.settings import load_automation, load_settings
from oddins_pipeline.errors import UsageError
from oddins_pipeline.provider.transport import Transport
from oddins_pipeline.urls import proxy_of

REFUSED = [
    ("ODDINS_SYNC_CRON", "61 5 * * *"),
    ("ODDINS_SYNC_CRON", "daily"),
    ("ODDINS_LISTS_CRON", "5 24 * * *"),
    ("ODDINS_LISTS_CRON", "0 5 31 4,6,9,11 *"),
    ("ODDINS_SYNC_CRON", "\u0660 \u0665 * * *"),
    ("ODDINS_SYNC_TIMEZONE", "Mars/Olympus"),
    ("ODDINS_SYNC_TIMEZONE", "../etc/passwd"),
    ("ODDINS_HOME", "/dev/null/oddins"),
    ("ODDINS_HOME", "/etc/hostname"),
    ("ODDINS_HOME", "~nobody-of-this-name/x"),
    ("ODDINS_LOCK_TIMEOUT", "nan"),
    ("ODDINS_STATEMENT_TIMEOUT", "inf"),
    ("API_FOOTBALL_BASE_URL", "https://a..b"),
    ("API_FOOTBALL_BASE_URL", f"https://{'x' * 64}.example"),
    ("API_FOOTBALL_BASE_URL", "https://b\u00fccher.example"),
    ("API_FOOTBALL_BASE_URL", "https://[::1"),
    ("API_FOOTBALL_BASE_URL", "https://[v1.x]:8"),
    ("API_FOOTBALL_BASE_URL", "https://provider\n.example"),
    ("API_FOOTBALL_BASE_URL", "https://provider.example/a\u00a0b"),
    ("API_FOOTBALL_BASE_URL", "https://xn--0.example"),
    ("API_FOOTBALL_BASE_URL", "https://provider.example/" + "x" * 70_000),
    ("DATABASE_URL", "postgresql://u:s3cret@h,a..b/db"),
    ("DATABASE_URL", f"postgresql://u:s3cret@{'x' * 64}/db"),
    ("DATABASE_URL", "postgresql://u:s3cret@h/db?sslmode=on"),
    ("ODDINS_WEBHOOK_URL", "https://-.example/x"),
    ("ODDINS_POOL", "s3cret"),
    ("HTTPS_PROXY", "http://us er:s3cret@proxy:3128"),
    ("ALL_PROXY", "http://proxy..example"),
    ("ALL_PROXY", "http://[v1.x]:8"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_an_unusable_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    (sentence,) = str(caught.value).splitlines()
    assert sentence.startswith((f"{name} is not ", f"{name} has a"))
    assert "s3cret" not in sentence


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"SSL_CERT_FILE": "/nowhere"}, "SSL_CERT_FILE is not a readable file"),
        ({"SSL_CERT_FILE": "/etc"}, "SSL_CERT_FILE is not a readable file"),
        ({"SSL_CERT_FILE": "/etc/hostname"}, "SSL_CERT_FILE is not a readable file"),
        ({"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR is not a directory"),
        ({"SSL_CERT_DIR": "/proc:/etc/hostname"}, "SSL_CERT_DIR is not a directory"),
        ({"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": "/nowhere"}, None),
        ({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, None),
        ({"SSL_CERT_DIR": "/nowhere:{prepared}"}, None),
    ],
)
def test_certificates_that_the_client_cannot_use_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], named: str | None
) -> None:
    (tmp_path / "0123abcd.0").touch()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(prepared=tmp_path))
    if named is None:
        load_settings()
        Transport("https://provider.example", {}, RequestLimits()).close()
        return
    with pytest.raises(UsageError) as caught:
        load_settings()
    (sentence,) = str(caught.value).splitlines()
    assert sentence.startswith(named)


def test_all_of_them_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REFUSED:
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert len(str(caught.value).splitlines()) == len({name for name, _ in REFUSED})
    with pytest.raises(UsageError, match="ODDINS_SYNC_CRON is not a cron schedule"):
        load_automation()


@pytest.mark.parametrize("cron", ["0 5 * * *", "*/15 6-22 * * 1-5", "@daily", "30 4 1,15 * *"])
def test_what_dagster_takes_for_a_schedule_is_accepted(
    monkeypatch: pytest.MonkeyPatch, cron: str
) -> None:
    monkeypatch.setenv("ODDINS_SYNC_CRON", cron)
    monkeypatch.setenv("ODDINS_SYNC_TIMEZONE", "America/Argentina/Buenos_Aires")
    assert load_settings().sync_cron == cron


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "SPORTS_PROVIDER_API_KEY", "ODDINS_SYNC_CRON", "ODDINS_HOME"]
)
def test_bytes_that_are_not_utf8_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, os.fsdecode(b"postgresql://u:s3cret\xff@h/db"))
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name} ")
    assert "s3cret" not in str(caught.value)


def test_a_socks_proxy_is_refused_where_its_support_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "SOCKS5h://u:s3cret@proxy:1080")
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value).startswith("ALL_PROXY is a SOCKS proxy")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("given", [" http://127.0.0.1:8/ \r\n", "HTTP://127.0.0.1:8"])
def test_an_address_is_kept_in_one_spelling(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("API_FOOTBALL_BASE_URL", given)
    assert load_settings().base_url == "http://127.0.0.1:8"


@pytest.mark.parametrize("home", ["~nobody-of-this-name", "x" * 300, "\udcff", "nowhere"])
def test_a_dagster_home_that_is_no_directory_is_refused(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    with pytest.raises(UsageError, match=r"DAGSTER_HOME=.* is not a directory"):
        home_from_env()


@pytest.mark.parametrize("target", ["loop", "/nowhere/at/all"], ids=["to itself", "to nothing"])
def test_a_home_below_a_link_that_leads_nowhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str
) -> None:
    (tmp_path / "loop").symlink_to(target)
    monkeypatch.setenv("ODDINS_HOME", str(tmp_path / "loop" / "home"))
    with pytest.raises(UsageError, match="ODDINS_HOME is not a directory"):
        load_settings()


def test_a_current_directory_that_is_deleted_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (deleted := tmp_path / "deleted").mkdir()
    monkeypatch.chdir(deleted)
    deleted.rmdir()
    with pytest.raises(UsageError, match="the current directory does not exist"):
        load_settings()


def test_an_env_file_that_would_wait_for_a_writer_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(UsageError, match=r"\.env of the current directory is a pipe"):
        load_settings()


def test_an_env_file_that_cannot_be_read_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").symlink_to("x" * 300)
    with pytest.raises(UsageError, match=r"\.env .* cannot be read: File name too long"):
        load_settings()
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").write_bytes(b"APP_ENV=\xff\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_settings()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dotenv.main.DotEnv._get_stream", refuse)
    with pytest.raises(UsageError, match=r"\.env .* cannot be read: Permission denied"):
        load_settings()


@pytest.mark.parametrize(
    ("excluded", "url", "direct"),
    [
        ("fd00::/8", "https://[fd12::7]/x", True),
        ("[fd00::]/8", "https://[fd12::7]:8443/x", True),
        ("[::2],fe80::/10", "https://[::2]", True),
        ("fd00::/8", "https://provider.example", False),
        ("10.0.0.0/8", "https://10.2.3.4", True),
        ("10.0.0.0/8", "https://11.2.3.4", False),
        ("fd00::/999,nonsense/8,,", "https://[fd12::7]", False),
        (".example", "https://provider.example", True),
        ("x.test, *.example:443", "https://provider.example:443", True),
        ("*.example", "https://provider.example.net", False),
        ("*", "https://provider.example", True),
        ("", "https://127.0.0.1:8", True),
    ],
)
def test_no_proxy_takes_networks(
    monkeypatch: pytest.MonkeyPatch, excluded: str, url: str, direct: bool
) -> None:
    monkeypatch.setenv("NO_PROXY", excluded)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert proxy_of(url) == (None if direct else "http://proxy.example:3128")
    Transport(url, {}, RequestLimits()).close()


def test_a_file_of_certificates_is_loaded_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(shutil.copy(certifi.where(), tmp_path)))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    load_settings()
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: pytest.fail("loaded again"))
    load_settings()
