"""A peer is measured as a process of its own."""

import subprocess
import sys


def test_a_peer_imports_nothing_of_ours() -> None:
    modules = "import sys, benchmarks.child, benchmarks.responses; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", modules], check=True, capture_output=True, text=True
    )
    ours = {one for one in done.stdout.split() if one.startswith(("oddins_pipeline", "psycopg"))}
    assert not ours
