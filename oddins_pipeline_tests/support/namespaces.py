"""Machines of their own: network namespaces around one server, with addresses that exist nowhere.

[a] 198.18.1.2 ── 198.18.1.1 [server] 198.18.2.1 ── 198.18.2.2 [b]
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from types import TracebackType

from typing_extensions import Self

CLIENTS = {"a": 1, "b": 2}


def problem() -> str | None:
    """Why namespaces cannot be made here; None when they can."""
    if shutil.which("ip") is None:
        return "the command ip is not there; install iproute2"
    if os.geteuid() != 0:
        return "they need root"
    probe = f"oddins-probe-{os.getpid()}"
    command = ["ip", "netns", "add", probe]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        return f"ip netns add: {made.stderr.strip()}"
    _ip("netns", "del", probe)
    return None


class Machines:
    """A server and two clients, each in a namespace; removed at the end."""

    def __init__(self) -> None:
        self._prefix = f"oddins-{os.getpid()}"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            for machine in ("server", *CLIENTS):
                _ip("netns", "add", self.name(machine))
                self._stack.callback(_ip, "netns", "del", self.name(machine))
                self.ip(machine, "link", "set", "lo", "up")
            for client, number in CLIENTS.items():
                self._join(client, number)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def name(self, machine: str) -> str:
        """The machine's namespace."""
        return f"{self._prefix}-{machine}"

    def on(self, machine: str, *command: object) -> list[str]:
        """The command that runs `command` on that machine."""
        return ["ip", "netns", "exec", self.name(machine), *map(str, command)]

    def ip(self, machine: str, *arguments: str) -> None:
        """`ip …` on that machine."""
        _ip("-n", self.name(machine), *arguments)

    def server_address(self, client: str) -> str:
        """Where that client reaches the server."""
        return f"198.18.{CLIENTS[client]}.1"

    def vanish(self, client: str) -> None:
        """Not one packet leaves the client any more: the server hears no word, and no farewell."""
        self.ip(client, "route", "add", "blackhole", f"{self.server_address(client)}/32")

    def _join(self, client: str, number: int) -> None:
        server, there = self.name("server"), self.name(client)
        ends = ("to-" + client, "to-server")
        _ip("-n", server, "link", "add", ends[0], "type", "veth", "peer", ends[1], "netns", there)
        for machine, end, host in (("server", ends[0], 1), (client, ends[1], 2)):
            self.ip(machine, "address", "add", f"198.18.{number}.{host}/24", "dev", end)
            self.ip(machine, "link", "set", end, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)  # noqa: S607
