"""A proxy on loopback that makes a database far away.

It holds back each chunk that a client sends by the round-trip time, and counts flights: how often
a client waited for an answer, the start of connections included.
"""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import urlsplit


class Proxy:
    """Forwards to the server of a database; `delay` is in seconds."""

    def __init__(self, url: str) -> None:
        """Listens at `self.url` until the process ends."""
        self.target, self.delay, self.flights = urlsplit(url), 0.0, 0
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
        while data := await client.read(1 << 16):
            asked.set()
            self.loop.call_later(self.delay, requests.write, data)
        self.loop.call_later(self.delay, requests.close)
