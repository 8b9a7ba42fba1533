"""One measurement in a process of its own: `python -m benchmarks.child NAME DATABASE PROVIDER`.

Writes one JSON line: seconds from the request to the commit, and peak memory (KB) at the end and
before the load, when only the interpreter and the modules were loaded.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import sys
from pathlib import Path

IMPLEMENTATIONS = {
    "oddins": ("benchmarks.ours", "load"),
    "floor": ("benchmarks.floor", "load"),
    "row by row": ("benchmarks.upserts", "load_row_by_row"),
    "executemany": ("benchmarks.upserts", "load_executemany"),
    "dlt": ("benchmarks.dlt_peer", "load"),
    "empty Dagster run": ("benchmarks.empty_run", "load"),
}
HIDDEN = {"dlt": "sqlalchemy"}
"""dlt[postgres] does not install it, but imports it where it is: 0.1 s."""


def main() -> None:
    """Runs one implementation once."""
    name, url, provider = sys.argv[1:]
    module, function = IMPLEMENTATIONS[name]
    if name in HIDDEN:
        sys.modules[HIDDEN[name]] = None  # type: ignore[assignment]
    load = getattr(importlib.import_module(module), function)
    before = peak_kb()
    seconds = load(url, provider)
    measured = {"seconds": seconds, "interpreter_kb": before, "peak_kb": peak_kb()}
    sys.stdout.write(json.dumps(measured) + "\n")


def peak_kb() -> int:
    """This process's peak: `ru_maxrss` includes the parent's memory at the fork."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
