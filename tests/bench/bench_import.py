"""Measure a first import of a home of Codex, and one that finds nothing new.

bin/bench import
"""

import os
import tempfile
from pathlib import Path

from support import homes
from support.measure import command, show_value, spent

THREADS = 1_000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        paths = homes.fill(place / "codex", THREADS)
        size = sum(path.stat().st_size for path in paths)
        show_value(f"{THREADS:,} rollouts", size / 1e6, "MB")
        environment = {**os.environ, "CODEX_RUNNER_HOME": str(place / "state")}
        words = command("codex-tasks", "import", place / "codex")
        for what in ("first import", "nothing new"):
            show_value(what, spent(words, environment).cpu, "s CPU")


if __name__ == "__main__":
    main()
