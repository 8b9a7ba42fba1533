"""A remote PostgreSQL over TLS: `sslmode=verify-full` believes the right server only."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from oddins_pipeline.sample_provider import SampleProvider
from oddins_pipeline_tests.support.postgres15 import Postgres15
from oddins_pipeline_tests.support.service import KEY, LEFT_OUT, Oddins, Outcome, upgrade_at

pytestmark = pytest.mark.skipif("PostgreSQL 15" in LEFT_OUT, reason="needs PostgreSQL 15")
ACCESS = """\
hostssl all all 127.0.0.1/32 trust
hostssl all all ::1/128 trust
"""


@dataclass(frozen=True)
class Secure:
    """A server that speaks TLS only, its authority, and an authority that it does not have."""

    port: int
    authority: Path
    stranger: Path

    def url(self, *, host: str = "localhost", authority: Path | None = None) -> str:
        trusted = authority or self.authority
        return (
            f"postgresql://postgres@{host}:{self.port}/oddins_template"
            f"?sslmode=verify-full&sslrootcert={trusted}"
        )


def openssl(*arguments: str, directory: Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)  # noqa: S607


def make_authority(directory: Path, name: str) -> Path:
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
    openssl(*new, *files, "-days", "2", "-subj", f"/CN={name}", directory=directory)
    return directory / f"{name}.crt"


def make_certificate(directory: Path, authority: str) -> None:
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *new,
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
        "-subj",
        "/CN=localhost",
        directory=directory,
    )
    (directory / "names").write_text("subjectAltName=DNS:localhost\n")
    sign = ("x509", "-req", "-in", "server.csr", "-out", "server.crt", "-days", "2")
    signer = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial")
    openssl(*sign, *signer, "-extfile", "names", directory=directory)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    directory = tmp_path_factory.mktemp("tls")
    authority, stranger = (
        make_authority(directory, "authority"),
        make_authority(directory, "stranger"),
    )
    make_certificate(directory, "authority")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = {name: (directory / name).read_text() for name in ("server.crt", "server.key")}
    settings = ("ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key")
    server = Postgres15(
        listen="localhost", port=port, access=ACCESS, settings=settings, files=files
    )
    with server:
        upgrade_at(server.url("oddins_template"))
        yield Secure(port, authority, stranger)


Sync = Callable[[str], Outcome]


@pytest.fixture
def sync(oddins: Oddins, provider: SampleProvider) -> Sync:
    """A sync in production into the database at an address."""

    def run(url: str) -> Outcome:
        return oddins(
            *("sync", "leagues", "--log-format", "text"),
            APP_ENV="production",
            DATABASE_URL=url,
            SPORTS_PROVIDER_API_KEY=KEY,
            API_FOOTBALL_BASE_URL=provider.url,
        )

    return run


def test_a_sync_and_its_dagster_records_go_over_tls(secure: Secure, sync: Sync) -> None:
    plain = f"postgresql://postgres@localhost:{secure.port}/oddins_template?sslmode=disable"
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(plain)
    done = sync(secure.url())
    assert done.code == 0, done.stderr
    with psycopg.connect(secure.url()) as connection:
        runs = connection.execute("SELECT count(*) FROM dagster.runs WHERE status = 'SUCCESS'")
        assert runs.fetchone() == (1,)


@pytest.mark.parametrize(
    ("host", "authority", "reason"),
    [
        ("localhost", "stranger", "certificate verify failed"),
        ("127.0.0.1", "authority", 'does not match host name "127.0.0.1"'),
    ],
)
def test_another_server_is_refused_with_one_sentence(
    secure: Secure, sync: Sync, host: str, authority: str, reason: str
) -> None:
    done = sync(secure.url(host=host, authority=getattr(secure, authority)))
    assert done.code == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("oddins:")]) == 1
