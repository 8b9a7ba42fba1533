"""One measurement in a process of its own: `python -m benchmarks.child WAY DATABASE PROVIDER`.

Writes one JSON line: seconds from the request to the commit, and the peak of the memory (KB) at
its end and before, when only the interpreter and the modules were there.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import sys
from pathlib import Path

WAYS = {
    "oddins": ("benchmarks.ours", "load"),
    "floor": ("benchmarks.floor", "load"),
    "row by row": ("benchmarks.upserts", "load_row_by_row"),
    "executemany": ("benchmarks.upserts", "load_executemany"),
    "dlt": ("benchmarks.dlt_peer", "load"),
    "empty Dagster run": ("benchmarks.empty_run", "load"),
}


def main() -> None:
    """Runs one way once."""
    way, url, provider = sys.argv[1:]
    module, function = WAYS[way]
    load = getattr(importlib.import_module(module), function)
    before = peak_kb()
    seconds = load(url, provider)
    told = {"seconds": seconds, "interpreter_kb": before, "peak_kb": peak_kb()}
    sys.stdout.write(json.dumps(told) + "\n")


def peak_kb() -> int:
    """This program's peak: `ru_maxrss` also counts what the parent held when it forked."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
