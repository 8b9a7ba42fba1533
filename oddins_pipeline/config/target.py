"""Which provider and which database a command or a run uses: the table of DESIGN's contract.

| DATABASE_URL | key | a sync                                                    |
| ------------ | --- | --------------------------------------------------------- |
| –            | –   | local: sample provider → embedded database oddins_sample  |
| –            | set | local: real provider → embedded database oddins_odds      |
| set          | set | real provider → that database                             |
| set          | –   | refused, naming the key and --sample                      |
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from oddins_pipeline.config.settings import Settings, load_settings
from oddins_pipeline.errors import UsageError

SAMPLE_VARIABLE = "ODDINS_SAMPLE"
"""Set by `oddins --sample` for what it starts; the same choice in every process of one sync."""

REAL_SOURCE = "api-football"
SAMPLE_SOURCE = "api-football-sample"
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
        """The database as a person may read it: host and name, no user and no password."""
        if self.embedded:
            return f"{self.embedded} (embedded server)"
        assert settings.database_url is not None
        parts = urlsplit(settings.database_url.get_secret_value())
        where = parts.hostname or "local socket"
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.path.lstrip('/')} on {where}{port}"


def choose_target(settings: Settings, *, sample: bool = False, reads_only: bool = False) -> Target:
    """Applies the table. `reads_only` commands need no key. Raises UsageError with every fault."""
    sample = sample or os.environ.get(SAMPLE_VARIABLE) == "1"
    local = settings.app_env == "local"
    faults = []
    if sample and not local:
        faults.append("--sample is only for APP_ENV=local; leave it out, or set APP_ENV=local")
    if settings.database_url is None and not local:
        faults.append(
            f"DATABASE_URL is missing (APP_ENV={settings.app_env} has no embedded server);"
            " set it to postgresql://user:password@host:5432/database"
        )
    needs_key = settings.database_url is not None or not local
    if settings.api_key is None and needs_key and not sample and not reads_only:
        remedy = ", or use --sample for generated data" if local else ""
        faults.append(
            "SPORTS_PROVIDER_API_KEY is missing; set it to the key of your API-Football"
            f" account{remedy}"
        )
    if faults:
        raise UsageError("\n".join(faults))
    if settings.database_url is not None:
        return Target(sample=sample, embedded=None)
    sample = sample or settings.api_key is None
    return Target(sample=sample, embedded=EMBEDDED_SAMPLE if sample else EMBEDDED_REAL)


def database_url(settings: Settings, target: Target) -> str:
    """The address of the target's database; starts the embedded server when that is the target."""
    if target.embedded is None:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        return url.replace("postgres://", "postgresql://", 1)

    from oddins_pipeline.embedded_postgres import cluster

    return cluster.start(settings.state_directory, target.embedded)


def catalog_url() -> str:
    """The catalog's address for Dagster's storage, by the same settings and table."""
    settings = load_settings()
    return database_url(settings, choose_target(settings, reads_only=True))
