"""Parsing and validation of addresses without quoting them, and what of them is secret."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

MIN_SECRET_LENGTH = 8
"""Shorter parts of an address are words, and hiding them would spoil the log."""


def parse_http_url(url: str) -> SplitResult | None:
    """The parts of an http(s) address; None when it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def secrets_in(url: str) -> list[str]:
    """The address, and what of it lets one send there: its path, query and last segment."""
    parts = urlsplit(url)
    path = parts.path.strip("/")
    texts = (url, path, parts.query, path.rpartition("/")[2], parts.password or "")
    return [text for text in texts if len(text) >= MIN_SECRET_LENGTH]


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
