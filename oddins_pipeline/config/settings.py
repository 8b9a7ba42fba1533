"""Settings: the environment (and `.env` of the current directory), validated all at once."""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_settings import NoDecode

from oddins_pipeline.catalog.guard import GuardLimits
from oddins_pipeline.catalog.requests import RequestLimits
from oddins_pipeline.config import database_url
from oddins_pipeline.config.automation import PREFIX, AutomationSettings, checked
from oddins_pipeline.config.validation import (
    certificate_problems,
    home_problem,
    proxy_problems,
)
from oddins_pipeline.errors import UsageError
from oddins_pipeline.logs import register_secrets
from oddins_pipeline.urls import (
    check_webhook_secret,
    check_webhook_url,
    is_loopback,
    parse_http_url,
    secrets_in,
)

PROVIDER_URL = "https://v3.football.api-sports.io"
DEVELOPMENT_PASSWORD = "oddins_dev"  # noqa: S105 - published in docker-compose.yml, refused outside local
IDLE_MARGIN = 60

RENAMED = {
    "ODDINS_STALE_AFTER": "ODDINS_STALE_AFTER_HOURS",
    "ODDINS_LOCK_WAIT": "ODDINS_LOCK_TIMEOUT",
    "ODDINS_HTTP_LONGEST_WAIT": "ODDINS_HTTP_MAX_RETRY_AFTER",
}
"""Names of 0.1 and what they are called now."""

A = TypeVar("A", bound="AutomationSettings")

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Percent = Annotated[float, Field(ge=0, le=100)]
Days = Annotated[int, Field(ge=1, le=36_500)]


@dataclass(frozen=True)
class PoolLimits:
    """The pool of read-only connections."""

    size: Annotated[int, Field(ge=1, le=50, description="connections kept for reads")] = 2
    overflow: Annotated[int, Field(ge=0, le=50, description="further ones on demand")] = 3
    timeout: Annotated[Seconds, Field(description="seconds to wait for one")] = 10


class Settings(AutomationSettings):
    """What the environment says. Secrets are SecretStr, never shown, and registered for redaction.

    Raises pydantic's ValidationError; use `load_settings` for one plain sentence.
    """

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
        None, description="a running sample provider to use in place of a sync's own"
    )
    webhook_url: SecretStr | None = Field(None, description="where events are sent as JSON; secret")
    webhook_secret: SecretStr | None = Field(
        None, description="signs what is sent to ODDINS_WEBHOOK_URL: whsec_ and base64; secret"
    )
    home: Path | None = Field(None, description="directory of the local state")
    stale_after_hours: float = Field(
        26, gt=0, le=8_760, description="hours after which the catalog is stale"
    )
    lists_stale_after_hours: float = Field(
        194, gt=0, le=8_760, description="hours after which a reference list is stale"
    )
    http: Annotated[RequestLimits, NoDecode] = RequestLimits()
    requests_per_minute: int = Field(
        8, ge=1, le=900, description="requests a minute unless the provider's headers allow more"
    )
    pool: Annotated[PoolLimits, NoDecode] = PoolLimits()
    database_connect_timeout: int = Field(
        10, ge=2, le=300, description="seconds to connect to PostgreSQL"
    )
    statement_timeout: Seconds = Field(300, description="seconds for one statement of the sync")
    lock_timeout: float = Field(
        60, ge=0, le=86_400, description="seconds that a Dagster run waits for the lock"
    )
    backfill_pause: Seconds = Field(
        300, description="seconds before a failed backfill is retried, doubled each time"
    )
    subscription_warning_days: float = Field(
        14, ge=0, le=365, description="days before the subscription's end from which to warn"
    )
    min_league_share: Percent = Field(
        99.5, description="percent of the listed leagues that a full response must hold"
    )
    min_season_share: Percent = Field(
        99, description="percent of the listed seasons that a full response must hold"
    )
    max_quarantine_share: Percent = Field(
        1, description="percent of leagues plus seasons that may be quarantined"
    )
    keep_bodies_days: Days = Field(90, description="days that archived bodies are kept")
    keep_requests_days: Days = Field(90, description="days that rows of provider_requests are kept")
    keep_runs_days: Days = Field(
        90, description="days that Dagster's runs and their events are kept"
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
        problem = database_url.problem(url)
        if problem:
            raise ValueError(f"{problem}; expected {database_url.EXAMPLE}")
        return SecretStr(url)

    @field_validator("home")
    @classmethod
    def _usable_home(cls, value: Path | None) -> Path | None:
        return value and checked(value, home_problem)

    @field_validator("base_url", "sample_url")
    @classmethod
    def _plain_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = parse_http_url(value.strip())
        if not parts or parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("is not a plain http(s) address such as " + PROVIDER_URL)
        return parts.geturl().rstrip("/")

    @field_validator("webhook_url", "webhook_secret")
    @classmethod
    def _usable_webhook(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Says nothing of the address: its path is what lets one send there."""
        text = value.get_secret_value().strip() if value else ""
        if not text:
            return None
        if info.field_name == "webhook_secret":
            check_webhook_secret(text)
        else:
            check_webhook_url(text, plain=info.data.get("app_env", "local") == "local")
        return SecretStr(text)

    @model_validator(mode="after")
    def _register(self) -> Settings:
        register_secrets(self.secrets)
        return self

    @model_validator(mode="after")
    def _safe_outside_local(self) -> Settings:
        if self.app_env == "local":
            return self
        if self.base_url.startswith("http:") and not is_loopback(urlsplit(self.base_url).hostname):
            raise ValueError(
                "API_FOOTBALL_BASE_URL uses plain http, which would show the key;"
                " use https, or APP_ENV=local"
            )
        if (
            self.database_url
            and database_url.password_of(self.database_url.get_secret_value())
            == DEVELOPMENT_PASSWORD
        ):
            raise ValueError(
                "DATABASE_URL uses the published development password; choose another"
                f" (POSTGRES_PASSWORD in .env of the containers) for APP_ENV={self.app_env}"
            )
        return self

    @property
    def max_idle(self) -> float:
        """Seconds that a session may do nothing while it holds the lock: no request is longer."""
        return self.http.total_timeout + IDLE_MARGIN

    @property
    def guard(self) -> GuardLimits:
        """The guard's thresholds."""
        return GuardLimits(self.min_league_share, self.min_season_share, self.max_quarantine_share)

    @cached_property
    def state_directory(self) -> Path:
        """ODDINS_HOME, else beside pyproject.toml, else the user's data directory."""
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
        shown = {k: str(v) for k, v in self if k not in secret}
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must appear nowhere: the key, the database password, as set and quoted."""
        found: list[str] = []
        if self.api_key:
            found.append(self.api_key.get_secret_value())
        if self.database_url:
            found += sorted(database_url.secrets_of(self.database_url.get_secret_value()))
        if self.webhook_url:
            found += secrets_in(self.webhook_url.get_secret_value())
        if self.webhook_secret:
            found.append(self.webhook_secret.get_secret_value().removeprefix("whsec_"))
        return tuple(dict.fromkeys(found))


def load_settings() -> Settings:
    """Reads the environment and `.env`. Raises UsageError naming every fault at once."""
    return _load(Settings)


def load_automation() -> AutomationSettings:
    """What definitions need. Raises UsageError."""
    return _load(AutomationSettings)


def _load(kind: type[A]) -> A:
    if problem := _directory_problem():
        raise UsageError(problem)
    faults = [
        f"{old} is now called {new}; rename it" for old, new in RENAMED.items() if _is_set(old)
    ]
    faults += [*proxy_problems(), *certificate_problems()]
    try:
        settings = kind()
    except ValidationError as error:
        faults += [_sentence(dict(item)) for item in error.errors(include_input=False)]
    except UnicodeDecodeError:
        faults = [".env of the current directory is not UTF-8; save it as UTF-8"]
    except OSError as error:
        faults = [f".env of the current directory cannot be read: {error.strerror}"]
    if faults:
        raise UsageError("\n".join(faults))
    return settings


def _directory_problem() -> str | None:
    """Why nothing can be read in the current directory, or only by waiting for a writer."""
    try:
        Path.cwd()
        is_pipe = Path(".env").is_fifo()
    except FileNotFoundError:
        return "the current directory does not exist any more; change to another"
    except OSError as error:
        return f".env of the current directory cannot be read: {error.strerror}"
    return ".env of the current directory is a pipe; make it a file" if is_pipe else None


def _is_set(name: str) -> bool:
    from dotenv import dotenv_values

    try:
        return bool(os.environ.get(name) or dotenv_values(".env").get(name))
    except (UnicodeDecodeError, OSError):
        return False  # reported with the settings


def _sentence(item: dict[str, Any]) -> str:
    name = _variable(item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "literal_error" and name == "APP_ENV":
        message = "is not one of local, staging, production; set one of them or leave it out"
    elif item["type"] == "string_unicode":
        message = "is not UTF-8; set it again"
    elif item["type"] == "dataclass_type":
        message = f"is not a setting; set those whose names begin with {name}_"
    elif item["type"] != "value_error":
        message = f"is not usable: {message}"
    return f"{name} {message}".strip()


def _variable(loc: tuple[Any, ...]) -> str:
    """The variable that an error is about; nothing when it is about several."""
    if not loc:
        return ""
    first = str(loc[0])
    return first if first.isupper() else PREFIX + "_".join(str(part) for part in loc).upper()
