"""What is wrong with a setting, as the rest of a sentence that starts with its name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.request import getproxies
from zoneinfo import ZoneInfo

from oddins_pipeline.urls import parse_http_url

_SIMPLE_CRON = re.compile(r"[0-5]?\d ([01]?\d|2[0-3]) \* \* [*0-6]", re.ASCII)
_PROXIES = ("http", "https", "all")


def cron_problem(cron: str) -> str | None:
    """Asks Dagster's parser, which is slow to import, about all but daily and weekly times."""
    if _SIMPLE_CRON.fullmatch(cron):
        return None
    from dagster._utils.schedules import cron_string_iterator, is_valid_cron_string

    if cron.isascii() and is_valid_cron_string(cron):
        with suppress(ValueError):  # a day that none of its months has stops Dagster's scheduler
            next(cron_string_iterator(time.time(), cron, "UTC"))
            return None
    return "is not a cron schedule such as `17 5 * * *` (minute, hour, day, month, day of week)"


def zone_problem(name: str) -> str | None:
    """Names are those of the IANA database."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return "is not a time zone such as UTC or Europe/Berlin"
    return None


def home_problem(home: Path) -> str | None:
    """Creates nothing: the directory is made when something is stored in it."""
    try:
        place = home.expanduser().absolute()
        str(place).encode()  # JSON, YAML and PostgreSQL take nothing else
        while not place.exists() and not place.is_symlink():  # to itself, or to nothing
            place = place.parent
        usable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    except (OSError, RuntimeError, ValueError):
        usable = False
    return None if usable else "is not a directory that can be made or written; name another"


def proxy_problems() -> list[str]:
    """One sentence for each proxy of the environment that the client cannot use; quotes none."""
    found = getproxies()
    problems = {name: _proxy_problem(found[name]) for name in _PROXIES if name in found}
    return [f"{name.upper()}_PROXY {problem}" for name, problem in problems.items() if problem]


def certificate_problems() -> Iterator[str]:
    """One sentence for a variable whose certificates the client cannot use: of two, the file's."""
    file, directories = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    fix = "correct it, or leave it out for the certificates that come with the software"
    if file and not _is_certificate_file(file):
        yield f"SSL_CERT_FILE is not a readable file of certificates (PEM); {fix}"
    if directories and not file and not any(map(_holds_certificates, directories.split(":"))):
        yield f"SSL_CERT_DIR is not a directory that `openssl rehash` has prepared; {fix}"


@lru_cache(maxsize=1)  # settings are read several times, and a bundle takes 30 ms each time
def _is_certificate_file(name: str) -> bool:
    import ssl

    try:
        ssl.create_default_context(cafile=name)
    except (OSError, ValueError):
        return False
    return True


def _holds_certificates(directory: str) -> bool:
    try:
        names = [entry.name for entry in Path(directory).iterdir()]
    except (OSError, ValueError):
        return False
    return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", name) for name in names)


def _proxy_problem(value: str) -> str | None:
    url = value if "://" in value else f"http://{value}"
    as_http = re.sub(r"(?i)^socks5h?://", "http://", url)
    if parse_http_url(as_http) is None:
        return "is not an address such as http://proxy.example:3128"
    if as_http != url and find_spec("socksio") is None:
        return "is a SOCKS proxy, for which the package socksio is missing; install it"
    return None
