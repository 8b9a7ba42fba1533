"""Which provider and which database a process works with: a `Workspace`, made once and passed on.

| DATABASE_URL | key | a sync                                                    |
| ------------ | --- | --------------------------------------------------------- |
| –            | –   | local: sample provider → embedded database oddins_sample  |
| –            | set | local: real provider → embedded database oddins_odds      |
| set          | set | real provider → that database                             |
| set          | –   | refused, naming the key and --sample                      |
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from oddins_pipeline.catalog.requests import SAMPLE_SOURCE, SOURCE
from oddins_pipeline.config import database_url
from oddins_pipeline.config.settings import Settings, load_settings
from oddins_pipeline.config.validation import home_problem
from oddins_pipeline.errors import UsageError

SAMPLE_VARIABLE = "ODDINS_SAMPLE"
"""Set by `oddins --sample` for what it starts; the same choice in every process of one sync."""

SAMPLE_ADDRESS = "sample provider, day "

EMBEDDED_REAL = "oddins_odds"
EMBEDDED_SAMPLE = "oddins_sample"


@dataclass(frozen=True)
class Target:
    """The provider and the database of one command.

    `embedded` names the database of the embedded server, `sample` means the sample provider.
    """

    sample: bool
    embedded: str | None

    def describe(self, settings: Settings) -> str:
        """The database's name and host, without user and password."""
        if self.embedded:
            return f"{self.embedded} (embedded server)"
        assert settings.database_url is not None
        return database_url.describe(settings.database_url.get_secret_value())


def choose_target(settings: Settings, *, sample: bool = False, reads_only: bool = False) -> Target:
    """Applies the table. `reads_only` commands need no key. Raises UsageError with every fault."""
    sample = sample or os.environ.get(SAMPLE_VARIABLE) == "1"
    faults = list(_faults(settings, sample=sample, reads_only=reads_only))
    if faults:
        raise UsageError("\n".join(faults))
    if settings.database_url is not None:
        return Target(sample=sample, embedded=None)
    sample = sample or settings.api_key is None
    return Target(sample=sample, embedded=EMBEDDED_SAMPLE if sample else EMBEDDED_REAL)


def _faults(settings: Settings, *, sample: bool, reads_only: bool) -> Iterator[str]:
    local = settings.app_env == "local"
    if sample and not local:
        yield "--sample is only for APP_ENV=local; leave it out, or set APP_ENV=local"
    if settings.database_url is None and not local:
        yield (
            f"DATABASE_URL is missing (APP_ENV={settings.app_env} has no embedded server);"
            " set it to postgresql://user:password@host:5432/database"
        )
    if settings.database_url is None and local and home_problem(settings.state_directory):
        yield (
            f"the local state's directory {settings.state_directory} cannot be made or written;"
            " set ODDINS_HOME to another"
        )
    needs_key = not sample and not reads_only and (settings.database_url is not None or not local)
    if settings.api_key is None and needs_key:
        hint = ", or use --sample for generated data" if local else ""
        yield (
            "SPORTS_PROVIDER_API_KEY is missing; set it to the key of your API-Football account"
            + hint
        )


@dataclass(frozen=True)
class Workspace:
    """What a process works with: its settings, its provider, and its database at `url`; `faults`
    are those that the sample provider is to play, `sample_days` how far its world has moved on
    (None: as far as the database has seen it).
    """

    settings: Settings
    target: Target
    url: str
    faults: tuple[str, ...] = ()
    sample_days: int | None = None

    @property
    def source(self) -> str:
        """The name of the source that responses come from."""
        return SAMPLE_SOURCE if self.target.sample else SOURCE

    @property
    def base_url(self) -> str:
        """The provider's address, as recorded with the source."""
        if not self.target.sample:
            return self.settings.base_url
        return f"{SAMPLE_ADDRESS}{self.sample_days}" if self.sample_days else "sample provider"

    @property
    def database(self) -> str:
        """The database's name and host, without user and password."""
        return self.target.describe(self.settings)

    @property
    def upgrades_itself(self) -> bool:
        """Whether a sync may migrate the database: only with APP_ENV=local."""
        return self.settings.app_env == "local"

    def impatient(self, seconds: int) -> Workspace:
        """The same with short timeouts, for what must not delay a process that has failed."""
        short = {"database_connect_timeout": seconds, "statement_timeout": float(seconds)}
        return replace(self, settings=self.settings.model_copy(update=short))


def open_workspace(settings: Settings, target: Target) -> Workspace:
    """Starts the embedded server when that is the target. Raises EmbeddedServerError."""
    if target.embedded is None:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        return Workspace(settings, target, url.replace("postgres://", "postgresql://", 1))
    from oddins_pipeline.embedded_postgres import cluster

    url = cluster.start(settings.state_directory, target.embedded)
    return Workspace(settings, target, url)


def load_workspace(*, sample: bool = False, reads_only: bool = False) -> Workspace:
    """The workspace that the environment describes. Raises UsageError, EmbeddedServerError."""
    settings = load_settings()
    return open_workspace(settings, choose_target(settings, sample=sample, reads_only=reads_only))
