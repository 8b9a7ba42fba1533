"""Parsing and validation of addresses without quoting them, and what of them is secret."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

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


def database_url_problem(url: str) -> str | None:
    """Why `url` cannot be a database's address, quoting none of it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return "cannot be read as an address"
    if parts.scheme not in {"postgresql", "postgres"}:
        return "does not start with postgresql://"
    if not parts.path.strip("/"):
        return "names no database"
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        return "holds a % that is not followed by two hexadecimal digits (write %25)"
    try:
        unquote(url, errors="strict")
    except UnicodeDecodeError:
        return "is not UTF-8 once its % signs are read"
    if "\x00" in unquote(url):
        return "holds a NUL character"
    return None


def secrets_in(url: str) -> list[str]:
    """The address, and what of it lets one send there: its path, query and last segment."""
    parts = urlsplit(url)
    path = parts.path.strip("/")
    texts = (url, path, parts.query, path.rpartition("/")[2], parts.password or "")
    return [text for text in texts if len(text) >= MIN_SECRET_LENGTH]


def password_of(url: str) -> str | None:
    """The password that libpq will use: the address's, else PGPASSWORD."""
    parts = urlsplit(url)
    if parts.password:
        return unquote(parts.password)
    return dict(parse_qsl(parts.query)).get("password") or os.environ.get("PGPASSWORD")


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
