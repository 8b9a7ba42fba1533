"""What is wrong with a setting, as the rest of a sentence that starts with its name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.request import getproxies
from zoneinfo import ZoneInfo

from oddins_pipeline.urls import parse_http_url

_SIMPLE_CRON = re.compile(r"[0-5]?\d ([01]?\d|2[0-3]) \* \* [*0-6]")
_PROXIES = ("http", "https", "all")


def cron_problem(cron: str) -> str | None:
    """Asks Dagster's parser, which is slow to import, about all but daily and weekly times."""
    if _SIMPLE_CRON.fullmatch(cron):
        return None
    from dagster._utils.schedules import is_valid_cron_string

    if is_valid_cron_string(cron):
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
        while not place.exists():
            place = place.parent
        usable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    except (OSError, RuntimeError, ValueError):
        usable = False
    return None if usable else "is not a directory that can be made or written; name another"


def proxy_problems() -> list[str]:
    """One sentence for each proxy of the environment that is no address; quotes none."""
    found = getproxies()
    return [
        f"{name.upper()}_PROXY is not an address such as http://proxy.example:3128"
        for name in _PROXIES
        if name in found and not _is_proxy(found[name])
    ]


def _is_proxy(value: str) -> bool:
    url = value if "://" in value else f"http://{value}"
    plain = re.fullmatch(r"[\x21-\x7e]+", url) is not None
    return plain and parse_http_url(re.sub(r"^socks5h?://", "http://", url)) is not None
