"""Parsing and validation of addresses without quoting them, and what of them is secret."""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PLAIN = re.compile(r"[\x21-\x7e]{1,2000}")
MAX_HOST = 253

MIN_SECRET_LENGTH = 8
"""Shorter parts of an address are words, and hiding them would spoil the log."""


def parse_http_url(url: str) -> SplitResult | None:
    """The parts of an http(s) address; None when it is none, or none that the client can send."""
    if not _PLAIN.fullmatch(url):  # urlsplit drops line breaks, and httpx refuses them
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.port != 0 and is_host(parts.hostname)
    except ValueError:
        return None
    name = parts.hostname or ""
    usable = usable and ("[" in parts.netloc) == (":" in name) and _is_decodable(name)
    return parts if usable else None


def _is_decodable(host: str) -> bool:
    """Whether httpx, which decodes an international name, finds letters in it."""
    if host.startswith("xn--"):
        import idna

        try:
            idna.decode(host)
        except idna.IDNAError:
            return False
    return True


def is_host(name: str | None) -> bool:
    """Whether `name` is an IP address, or a host's name as the DNS takes it."""
    if not name or ":" in name:
        return bool(name) and _is_ip(name or "")
    labels = name.removesuffix(".").split(".")
    return len(name) <= MAX_HOST and all(_LABEL.fullmatch(label) for label in labels)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def proxy_of(url: str) -> str | None:
    """The environment's proxy for `url`. NO_PROXY may hold networks, IPv6 ones too, which httpx
    refuses, and wildcards; what it cannot make sense of excludes nothing.
    """
    parts, proxies = urlsplit(url), getproxies()
    host = parts.hostname or ""
    excluded = [text.strip() for text in proxies.get("no", "").split(",")]
    wildcards = tuple(text[1:] for text in excluded if text.startswith("*."))
    if is_loopback(host) or proxy_bypass(parts.netloc) or _is_excluded(host, excluded):
        return None
    if host.endswith(wildcards) or parts.netloc.endswith(wildcards):  # with its port
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _is_excluded(host: str, excluded: list[str]) -> bool:
    if not _is_ip(host):
        return False
    address = ip_address(host)
    for text in excluded:
        with suppress(ValueError):
            network, _, bits = text.replace("[", "").partition("/")
            network = network.split("]")[0]
            if address in ip_network(f"{network}/{bits}" if bits else network, strict=False):
                return True
    return False


def check_webhook_url(url: str, *, plain: bool) -> None:
    """Raises ValueError, quoting nothing, unless messages can be sent there; plain http shows the
    address's token to whoever is between.
    """
    if parse_http_url(url) is None:
        raise ValueError("is not an address such as https://host/path")
    if not plain and not url.startswith("https:"):
        raise ValueError("uses plain http, which would show its token; use https, or APP_ENV=local")


def check_webhook_secret(secret: str) -> None:
    """Raises ValueError, quoting nothing, unless it is a secret of Standard Webhooks."""
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not (secret.startswith("whsec_") and 24 <= len(key) <= 64):  # noqa: PLR2004
        raise ValueError("is not whsec_ followed by 24 to 64 bytes in base64")


def secrets_in(url: str) -> list[str]:
    """The address, and what of it lets one send there: its path, query and last segment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    path = parts.path.strip("/")
    texts = (
        url,
        path,
        parts.query,
        path.rpartition("/")[2],
        parts.password or "",
        parts.username or "",
    )
    return [text for text in texts if len(text) >= MIN_SECRET_LENGTH]


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
