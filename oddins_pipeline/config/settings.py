"""Settings: the environment (and `.env` of the current directory), checked all at once."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from oddins_pipeline.errors import UsageError
from oddins_pipeline.urls import (
    database_url_problem,
    is_loopback,
    parse_http_url,
    password_of,
    secrets_in,
)

PROVIDER_URL = "https://v3.football.api-sports.io"
DEVELOPMENT_PASSWORD = "oddins_dev"  # noqa: S105 - published in docker-compose.yml, refused outside local

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """What the environment says. Secrets are SecretStr and never shown.

    Raises pydantic's ValidationError; use `load_settings` for one plain sentence.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        # By name the source would read variables, too: `home` from HOME, `attempts` from ATTEMPTS.
        env_prefix="ODDINS_BY_NAME_",
    )

    app_env: Literal["local", "staging", "production"] = Field(
        "local", validation_alias="APP_ENV", description="where this runs"
    )
    database_url: SecretStr | None = Field(
        None, validation_alias="DATABASE_URL", description="the catalog's database"
    )
    api_key: SecretStr | None = Field(
        None, validation_alias="SPORTS_PROVIDER_API_KEY", description="the provider's key"
    )
    base_url: str = Field(
        PROVIDER_URL, validation_alias="API_FOOTBALL_BASE_URL", description="the provider's address"
    )
    sample_url: str | None = Field(
        None,
        validation_alias="ODDINS_SAMPLE_URL",
        description="a sample provider to use in place of a sync's own",
    )
    webhook_url: SecretStr | None = Field(
        None,
        validation_alias="ODDINS_WEBHOOK_URL",
        description="where one JSON message goes when a person should look",
    )
    home: Path | None = Field(
        None, validation_alias="ODDINS_HOME", description="directory of the local state"
    )
    stale_after_hours: float = Field(
        26,
        validation_alias="ODDINS_STALE_AFTER_HOURS",
        gt=0,
        le=8_760,
        description="hours after which the catalog counts as stale",
    )
    connect_timeout: Seconds = Field(
        10, validation_alias="ODDINS_HTTP_CONNECT_TIMEOUT", description="seconds to connect"
    )
    read_timeout: Seconds = Field(
        10, validation_alias="ODDINS_HTTP_READ_TIMEOUT", description="seconds between bytes"
    )
    attempt_timeout: Seconds = Field(
        120, validation_alias="ODDINS_HTTP_ATTEMPT_TIMEOUT", description="seconds for one attempt"
    )
    total_timeout: Seconds = Field(
        900, validation_alias="ODDINS_HTTP_TOTAL_TIMEOUT", description="seconds for all attempts"
    )
    attempts: int = Field(
        5, validation_alias="ODDINS_HTTP_ATTEMPTS", ge=1, le=20, description="attempts at most"
    )
    max_body_mb: float = Field(
        64,
        validation_alias="ODDINS_HTTP_MAX_BODY_MB",
        gt=0,
        le=2_048,
        description="largest answer after decompression, in MB",
    )
    max_retry_after: Seconds = Field(
        120,
        validation_alias="ODDINS_HTTP_MAX_RETRY_AFTER",
        description="longest Retry-After in seconds that a sync waits for",
    )
    requests_per_minute: int = Field(
        8,
        validation_alias="ODDINS_REQUESTS_PER_MINUTE",
        ge=1,
        le=900,
        description="requests a minute unless the provider's headers allow more",
    )
    pool_size: int = Field(
        2,
        validation_alias="ODDINS_POOL_SIZE",
        ge=1,
        le=50,
        description="connections kept for reads",
    )
    pool_overflow: int = Field(
        3, validation_alias="ODDINS_POOL_OVERFLOW", ge=0, le=50, description="further ones at need"
    )
    pool_timeout: Seconds = Field(
        10, validation_alias="ODDINS_POOL_TIMEOUT", description="seconds to wait for one"
    )
    database_connect_timeout: int = Field(
        10,
        validation_alias="ODDINS_DATABASE_CONNECT_TIMEOUT",
        ge=2,
        le=300,
        description="seconds to connect to PostgreSQL",
    )
    statement_timeout: Seconds = Field(
        300,
        validation_alias="ODDINS_STATEMENT_TIMEOUT",
        description="seconds for one statement of the sync",
    )
    lock_timeout: float = Field(
        60,
        validation_alias="ODDINS_LOCK_TIMEOUT",
        ge=0,
        le=86_400,
        description="seconds that a run of Dagster waits for the lock",
    )
    backfill_pause: Seconds = Field(
        300,
        validation_alias="ODDINS_BACKFILL_PAUSE",
        description="seconds before a failed backfill is tried again, doubled each time",
    )
    subscription_warning_days: float = Field(
        14,
        validation_alias="ODDINS_SUBSCRIPTION_WARNING_DAYS",
        ge=0,
        le=365,
        description="days before the subscription's end from which it is warned of",
    )
    min_league_share: float = Field(
        99.5,
        validation_alias="ODDINS_MIN_LEAGUE_SHARE",
        ge=0,
        le=100,
        description="percent of the listed leagues that a full answer must hold",
    )
    min_season_share: float = Field(
        99,
        validation_alias="ODDINS_MIN_SEASON_SHARE",
        ge=0,
        le=100,
        description="percent of the listed seasons that a full answer must hold",
    )
    max_quarantine_share: float = Field(
        1,
        validation_alias="ODDINS_MAX_QUARANTINE_SHARE",
        ge=0,
        le=100,
        description="percent of leagues plus seasons that may be quarantined",
    )
    keep_bodies_days: int = Field(
        90,
        validation_alias="ODDINS_KEEP_BODIES_DAYS",
        ge=1,
        le=36_500,
        description="days that archived bodies are kept",
    )
    keep_requests_days: int = Field(
        90,
        validation_alias="ODDINS_KEEP_REQUESTS_DAYS",
        ge=1,
        le=36_500,
        description="days that rows of provider_requests are kept",
    )

    keep_runs_days: int = Field(
        90,
        validation_alias="ODDINS_KEEP_RUNS_DAYS",
        ge=1,
        le=36_500,
        description="days that Dagster's runs and their events are kept",
    )

    @field_validator("api_key")
    @classmethod
    def _usable_key(cls, value: SecretStr | None) -> SecretStr | None:
        """A header value: keys from files end in a line break, which httpx would print."""
        if value is None:
            return None
        key = value.get_secret_value().strip()
        if not key:
            return None
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ValueError(
                "holds characters that no key has (only printable ASCII without spaces);"
                " copy it again from the provider's dashboard"
            )
        return SecretStr(key)

    @field_validator("database_url")
    @classmethod
    def _usable_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        url = value.get_secret_value().strip()
        problem = database_url_problem(url)
        if problem:
            raise ValueError(f"{problem}; expected postgresql://user:password@host:5432/database")
        return SecretStr(url)

    @field_validator("base_url", "sample_url")
    @classmethod
    def _plain_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = parse_http_url(value)
        if not parts or parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("is not a plain http(s) address such as " + PROVIDER_URL)
        return value.rstrip("/")

    @field_validator("webhook_url")
    @classmethod
    def _plain_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        """Says nothing of the address: its path is what lets one send there."""
        url = value.get_secret_value().strip() if value else ""
        if url and not (parse_http_url(url) and re.fullmatch(r"[\x21-\x7e]+", url)):
            raise ValueError("is not an address such as https://host/path")
        return SecretStr(url) if url else None

    @model_validator(mode="after")
    def _safe_outside_local(self) -> Settings:
        if self.app_env == "local":
            return self
        if self.base_url.startswith("http:") and not is_loopback(urlsplit(self.base_url).hostname):
            raise ValueError(
                "API_FOOTBALL_BASE_URL uses plain http, which would show the key;"
                " use https, or APP_ENV=local"
            )
        if self.webhook_url and not self.webhook_url.get_secret_value().startswith("https:"):
            raise ValueError(
                "ODDINS_WEBHOOK_URL uses plain http, which would show its token; use https,"
                " or APP_ENV=local"
            )
        if (
            self.database_url
            and password_of(self.database_url.get_secret_value()) == DEVELOPMENT_PASSWORD
        ):
            raise ValueError(
                "DATABASE_URL uses the published development password; choose another"
                f" (POSTGRES_PASSWORD in .env of the containers) for APP_ENV={self.app_env}"
            )
        return self

    @cached_property
    def state_directory(self) -> Path:
        """Folder of the local state: ODDINS_HOME, else beside pyproject.toml, else the user's."""
        if self.home is not None:
            return self.home.expanduser().absolute()
        checkout = Path(__file__).resolve().parents[2]
        if (checkout / "pyproject.toml").is_file():
            return checkout / ".oddins"
        return user_data_path("oddins")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over what is set and no secret: equal when two runs had it alike."""
        secret = {k for k, f in type(self).model_fields.items() if "SecretStr" in str(f.annotation)}
        told = {k: str(v) for k, v in self if k not in secret}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must appear nowhere: the key, the database password, as set and quoted."""
        found: list[str] = []
        if self.api_key:
            found.append(self.api_key.get_secret_value())
        if self.database_url:
            url = self.database_url.get_secret_value()
            password = password_of(url)
            raw = re.search(r"//[^/@]*?:([^/]*)@", url)
            found += [text for text in (password, raw and raw.group(1)) if text]
        if self.webhook_url:
            found += secrets_in(self.webhook_url.get_secret_value())
        return tuple(dict.fromkeys(found))


def load_settings() -> Settings:
    """Reads the environment and `.env`. Raises UsageError naming every fault at once."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [_sentence(dict(item)) for item in error.errors(include_input=False)]
    except UnicodeDecodeError:
        faults = [".env of the current directory is not UTF-8; save it as UTF-8"]
    raise UsageError("\n".join(faults))


def _sentence(item: dict[str, object]) -> str:
    where = ".".join(str(part) for part in item["loc"])  # type: ignore[attr-defined]
    name = where.split(".")[0]
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "literal_error" and name == "APP_ENV":
        message = "is not one of local, staging, production; set one of them or leave it out"
    elif item["type"] != "value_error":
        message = f"is not usable: {message}"
    return f"{name} {message}".strip()
