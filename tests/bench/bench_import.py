"""Measure a first import of a home of Codex, and one that finds nothing new.

    bin/bench import

The peer decodes each line of the same files with `json`, and does nothing else.
"""

import os
import sys
import tempfile
from pathlib import Path

from support import homes
from support.measure import command, show, show_value, spent

THREADS = 1_000
DECODE = """
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).rglob("*.jsonl"):
    with path.open("rb") as stream:
        for line in stream:
            json.loads(line)
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        paths = homes.fill(place / "codex", THREADS)
        size = sum(path.stat().st_size for path in paths)
        show_value(f"{THREADS:,} rollouts", size / 1e6, "MB")
        environment = {**os.environ, "CODEX_RUNNER_HOME": str(place / "state")}
        peer = [sys.executable, "-c", DECODE, str(place / "codex")]
        theirs = spent(peer, environment)
        words = command("codex-tasks", "import", place / "codex")
        for what in ("first import", "nothing new"):
            ours = spent(words, environment)
            show(f"{what} / json of all lines, CPU", ours.cpu, theirs.cpu)


if __name__ == "__main__":
    main()
