"""A webhook receiver in a process of its own: it keeps what it accepts in a file, and has moods.

`python -m oddins_pipeline_tests.support.receiver PORT FILE SEED`: of ten messages about six are
accepted; the others meet 500, 429, 410, a broken connection, or too long a silence. What does not
verify, by the published library, is never accepted.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + b64encode(bytes(32)).decode()
MOODS = [200] * 13 + [500, 500, 429, 429, 410, 0, -1]
"""0 closes the connection after the message is kept; -1 is silent until the sender gives up."""


class _Handler(BaseHTTPRequestHandler):
    path_of_file: Path
    chance: random.Random

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length).decode()
        if len(body.encode()) < length:  # the sender was killed
            return
        mood = self.chance.choice(MOODS)
        if mood in {0, 200}:
            event = Webhook(SECRET).verify(body, dict(self.headers))
            with self.path_of_file.open("a", encoding="utf-8") as file:
                file.write(event["id"] + "\n")
        if mood == -1:
            time.sleep(1.5)
        if mood > 0:
            self.send_response(mood)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Quiet."""


class ReceiverProcess:
    """Starts it, kills it, starts it again on the same port."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/services/T0KEN-9f8e7d6c5b4a"
        self._seed = 0

    def start(self) -> None:
        self._seed += 1
        module = "oddins_pipeline_tests.support.receiver"
        arguments = [str(self.port), str(self.path), str(self._seed)]
        self._process = subprocess.Popen([sys.executable, "-m", module, *arguments])
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("the receiver does not listen")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def accepted(self) -> list[str]:
        """The ids of the events as accepted, duplicates included."""
        return self.path.read_text(encoding="utf-8").split()


if __name__ == "__main__":
    _Handler.path_of_file = Path(sys.argv[2])
    _Handler.chance = random.Random(int(sys.argv[3]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
