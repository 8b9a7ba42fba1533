"""Unchanged syncs when the database is far away: `python -m benchmarks.delay [MS …]`.

A proxy on loopback holds back each chunk that a client sends by the round-trip time, and counts
statements and flights: how often a client waited for an answer. Whole processes, best of three:
the first, which loads the catalog, never is.
"""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.rounds import Bench, at_database, providing
from benchmarks.server import default_major, running

ASSETS = "dagster asset materialize --select * -m oddins_pipeline.definitions"
COMMANDS = {
    "oddins sync leagues": "oddins_pipeline sync leagues",
    "dlt": "benchmarks.child dlt {url} {provider}",
    "dagster asset materialize": ASSETS,
    "oddins status": "oddins_pipeline status",
}
START = b"\x00\x03\x00\x00"


class Proxy:
    """Forwards to the server of a database; `delay` is in seconds."""

    def __init__(self, url: str) -> None:
        """Listens at `self.url` until the process ends."""
        self.target, self.delay, self.flights, self.statements = urlsplit(url), 0.0, 0, 0
        self.loop, self.tasks = asyncio.new_event_loop(), set[asyncio.Task[None] | None]()
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        self.url = self.target._replace(netloc=f"postgres:trust@127.0.0.1:{port}").geturl()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        server, requests = await asyncio.open_connection(self.target.hostname, self.target.port)
        asked = asyncio.Event()
        task = asyncio.create_task(self._forward(client, requests, asked))
        self.tasks |= {task, asyncio.current_task()}  # the loop's own references are weak
        while data := await server.read(1 << 16):
            self.flights += asked.is_set()
            asked.clear()
            answers.write(data)
        answers.close()
        await task

    async def _forward(
        self, client: asyncio.StreamReader, requests: asyncio.StreamWriter, asked: asyncio.Event
    ) -> None:
        rest, typed = b"", 0  # what precedes the session's start has no type before its length
        while data := await client.read(1 << 16):
            asked.set()
            self.loop.call_later(self.delay, requests.write, data)
            rest += data
            while len(rest) > 4 and (end := typed + _length(rest[typed:])) <= len(rest):
                self.statements += typed and rest[:1] in {b"Q", b"E"}
                typed, rest = typed or int(rest[4:8] == START), rest[end:]
        self.loop.call_later(self.delay, requests.close)


def _length(message: bytes) -> int:
    return int.from_bytes(message[:4], "big")


def main() -> None:
    """Prints a table: seconds at each round-trip time, flights and statements."""
    delays = [float(one) for one in sys.argv[1:]] or [0, 1, 5, 20]
    head = ["", *(f"{one:g} ms" for one in delays), "flights", "statements"]
    sys.stdout.write(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}\n")
    with (
        running(default_major()) as url,
        tempfile.TemporaryDirectory() as scratch,
        providing(1.0, url) as provider,
    ):
        provider.serve("unchanged")
        proxy = Proxy(at_database(url, "postgres"))
        environment = Bench(url, Path(scratch), print).environment(
            at_database(proxy.url, "template"), provider
        )
        for name, words in COMMANDS.items():
            if name == "dlt" and not importlib.util.find_spec("dlt"):
                continue
            arguments = words.format(url=at_database(proxy.url, "postgres"), provider=provider.url)
            seconds = [_best(proxy, arguments, one, scratch, environment) for one in delays]
            cells = [name, *(f"{one:.2f} s" for one in seconds)]
            counts = (str(proxy.flights), str(proxy.statements))
            sys.stdout.write(f"| {' | '.join((*cells, *counts))} |\n")
            sys.stdout.flush()


def _best(
    proxy: Proxy, arguments: str, delay: float, directory: str, environment: dict[str, str]
) -> float:
    seconds = []
    for _ in range(3):
        proxy.delay, proxy.flights, proxy.statements = delay / 1000, 0, 0
        command = [sys.executable, "-m", *arguments.split()]
        started = time.perf_counter()
        subprocess.run(  # noqa: S603 - our own modules
            command, env=environment, cwd=directory, check=True, capture_output=True
        )
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
