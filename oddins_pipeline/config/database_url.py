"""The database's URL, parsed once by libpq: every other form of it is built from the result."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import lru_cache
from urllib.parse import unquote

from oddins_pipeline.logs import MASK
from oddins_pipeline.urls import is_host

EXAMPLE = "postgresql://user:password@host:5432/database"
_URL = re.compile(r"(postgres(?:ql)?://)([^/?]*)(/[^?]*)?(?:\?(.*))?", re.DOTALL)
_PASSFILE = "passfile"
_NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_UNKNOWN_TO_STORAGE = "which the libpq of Dagster's storage (psycopg2) does not know; leave it out"
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def problem(url: str) -> str | None:
    """Why `url` cannot be a database's URL; quotes nothing that might be part of a password."""
    found = _URL.fullmatch(url)
    if found is None:
        return "does not start with postgresql://"
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        return "holds a % that is not followed by two hexadecimal digits (write %25)"
    try:
        plain = unquote(url, errors="strict")
        plain.encode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return "is not UTF-8 once its % signs are read"
    if "\x00" in plain or re.search(r"\s", url):
        return "holds a NUL character or a space (write %20)"
    if url.count("@") > 1 or "#" in url or "@" in url[found.end(2) :]:
        return "is ambiguous: write @ / ? # in user and password as %40 %2F %3F %23"
    return _parameter_problem(found[4] or "") or _libpq_problem(url)


def _parameter_problem(query: str) -> str | None:
    """Names a parameter of another tool, unless it may be the rest of a password with an &."""
    after_secret = False
    for name, value in _parameters(query):
        known = name in _keywords() or (name, value) == ("ssl", "true")
        if not known and (after_secret or not re.fullmatch(r"\w{1,40}", name)):
            return "has a parameter that libpq does not know (write & in a password as %26)"
        if not known:
            return f"has the parameter {name}, which libpq does not know; leave it out"
        if name in _newer_keywords():
            return f"has the parameter {name}, {_UNKNOWN_TO_STORAGE}"
        after_secret |= name in _secret_keywords()
    return None


def _libpq_problem(url: str) -> str | None:
    import psycopg

    try:
        written = parse(url)
    except psycopg.Error:
        return "cannot be read as an address"
    found, refusals = resolve(url)
    ports = found.get("port", "").split(",")
    if not all(re.fullmatch(r"\d*", port) and int(port or 1) in range(1, 65_536) for port in ports):
        return "has a port that is not a number from 1 to 65535 (or a / in its password: write %2F)"
    if len(ports) not in {1, len(_hosts(found))}:
        return "has not as many ports as hosts"
    if not all(not host or host[0] in "/@" or is_host(host) for host in _hosts(found)):
        return "has a host that is neither a name, nor an IP address, nor a socket's directory"
    if found.get("sslmode", "prefer") not in _SSLMODES:
        return f"has an sslmode that is not one of {', '.join(_SSLMODES)}"
    for name in _NUMBERS:
        if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", found.get(name, "0")):
            return f"has a {name} that is not a whole number"
    named = written.get("dbname", "").strip("/") or written.get("service")
    if not named and not {"PGDATABASE", "PGSERVICE"} & os.environ.keys():
        return "names no database"
    if refusals:
        return f"has a value that libpq refuses: {'; '.join(refusals)}"
    return _service_problem(found) if "service" in found else None


def _service_problem(found: dict[str, str]) -> str | None:
    newer = ", ".join(sorted(_newer_keywords() & found.keys()))
    return f"has a service with the parameter {newer}, {_UNKNOWN_TO_STORAGE}" if newer else None


def resolve(url: str) -> tuple[dict[str, str], list[str]]:
    """The parameters that libpq will use, those of its service and of the environment's PG…
    variables included, and why it refuses them, without their values. Nothing is connected: no
    host is looked up for port 0, and nothing listens below /dev/null.
    """
    found, refusals = _started(url, port="0")
    found["port"] = _started(url, host="/dev/null", hostaddr="")[0].get("port", "")
    return found, [
        line if "service" in line else re.sub(r':? "[^"]*"$', "", line)
        for line in refusals
        if line != 'invalid port number: "0"'
    ]


def _started(url: str, **instead: str) -> tuple[dict[str, str], list[str]]:
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import PGconn

    connection = PGconn.connect_start(make_conninfo(url, **instead).encode())
    found = {o.keyword.decode(): os.fsdecode(o.val) for o in connection.info if o.val}
    refusals = connection.get_error_message().splitlines()
    connection.finish()
    return found, refusals


def parse(url: str) -> dict[str, str]:
    """The parameters of libpq (`host`, `port`, `dbname`, `sslmode`, …). Raises psycopg's error."""
    from psycopg.conninfo import conninfo_to_dict

    found = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    hosts = len(_hosts(found))
    if found.get("port") and "," not in found["port"] and hosts > 1:
        found["port"] = ",".join([found["port"]] * hosts)  # SQLAlchemy wants one for each
    return found


def _hosts(found: dict[str, str]) -> list[str]:
    return (found.get("host") or found.get("hostaddr") or "").split(",")


def secrets_of(url: str) -> set[str]:
    """The secrets in `url`, as written and as read, and those of its service and environment."""
    found, _ = resolve(url)
    secrets = {value for name, value in found.items() if name in _secret_keywords()}
    parts = _URL.fullmatch(url)
    assert parts is not None
    written = parts[2].rpartition("@")[0].partition(":")[2]
    items = (item.partition("=") for item in (parts[4] or "").split("&"))
    secrets |= {value for name, _, value in items if unquote(name) in _secret_keywords()}
    return (secrets | {written, unquote(written)}) - {""}


def password_of(url: str) -> str | None:
    """The password that libpq will use, unless it is in a password file."""
    return resolve(url)[0].get("password")


def masked(url: str) -> str:
    """`url` with *** in place of each secret and of the password file's name."""
    parts = _URL.fullmatch(url)
    assert parts is not None
    scheme, authority, path, query = parts.groups()
    user, at, where = authority.rpartition("@")
    name, colon, _ = user.partition(":")
    user = f"{name}:{MASK}" if colon else user
    return f"{scheme}{user}{at}{where}{path or ''}" + (f"?{_masked(query)}" if query else "")


def _masked(query: str) -> str:
    hidden = _secret_keywords() | {_PASSFILE}
    items = [(item, unquote(item.partition("=")[0])) for item in query.split("&")]
    return "&".join(
        f"{item.partition('=')[0]}={MASK}" if name in hidden else item for item, name in items
    )


def without_secrets(url: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The parameters that may be seen in a process list; those that travel as environment
    variables; and the secrets for which libpq has no variable.
    """
    variables = {"password": "PGPASSWORD", _PASSFILE: "PGPASSFILE"}
    shown, environment, others = {}, {}, {}
    for name, value in parse(url).items():
        if name in variables:
            environment[variables[name]] = value
        elif name in _secret_keywords():
            others[name] = value
        else:
            shown[name] = value
    return shown, environment, others


def describe(url: str) -> str:
    """The database's name and its hosts, without user and password."""
    found = parse(url)
    if "service" in found:
        return f"{found.get('dbname', 'the database')} of service {found['service']}"
    hosts = _hosts(found)
    ports = found["port"].split(",") if found.get("port") else [""] * len(hosts)
    return f"{found.get('dbname', 'the database')} on " + ", ".join(map(_place, hosts, ports))


def _place(host: str, port: str) -> str:
    host = "local socket" if not host or host.startswith(("/", "@")) else host
    return f"{host}:{port}" if port else host


def _parameters(query: str) -> list[tuple[str, str]]:
    items = [item.partition("=") for item in query.split("&")] if query else []
    return [(unquote(name), unquote(value)) for name, _, value in items]


@lru_cache(maxsize=1)
def _keywords() -> dict[str, bool]:
    """Every parameter that this libpq knows, and whether its value is a secret."""
    from psycopg.pq import Conninfo

    found = {option.keyword.decode(): option.dispchar for option in Conninfo.parse(b"")}
    keys = {"scram_client_key", "scram_server_key"}
    return {name: shown == b"*" or name in keys for name, shown in found.items()}


@lru_cache(maxsize=1)
def _newer_keywords() -> set[str]:
    """What psycopg's libpq knows, and the older one that psycopg2 brings does not."""
    import psycopg2
    from psycopg2.extensions import parse_dsn

    def is_known(name: str) -> bool:
        with suppress(psycopg2.ProgrammingError):
            return bool(parse_dsn(f"{name}=x"))
        return False

    return {name for name in _keywords() if not is_known(name)}


def _secret_keywords() -> set[str]:
    return {name for name, secret in _keywords().items() if secret}
