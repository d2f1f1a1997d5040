"""Measure `codex-tasks usage` and a completion, over ten and over 100 000 runs.

    bin/bench usage [RUNS]

The peer is the bare interpreter, started in turn; it is the CPU time that counts.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from support.many import fill
from support.measure import command, compare, show

RUNS, RUNS_EACH = 100_000, 5
ROUNDS = 9


def main() -> None:
    most = int(sys.argv[1]) if sys.argv[1:] else RUNS
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for runs in (10, most):
            state = Path(name, f"state-{runs}")
            began = time.perf_counter()
            fill(state, runs // RUNS_EACH, RUNS_EACH)
            print(f"{runs} runs put on record in {time.perf_counter() - began:.1f} s")
            measure(runs, {**os.environ, "CODEX_RUNNER_HOME": str(state)})


def measure(runs: int, environment: dict[str, str]) -> None:
    for by in ("day", "model", "repo", "session"):
        compared(runs, ["usage", "--by", by, "--json"], environment)
    compared(runs, ["usage"], environment)
    compared(runs, ["usage", "--since", "2026-10-20T08:07:00Z"], environment)
    for line, piece in (("st", "st"), ("status ", "")):
        asked = ["completion", "bash", f"--line=codex-tasks {line}", f"--piece={piece}"]
        compared(runs, asked, environment)


def compared(runs: int, words: list[str], environment: dict[str, str]) -> None:
    """Print the CPU time of a command, the median of some rounds, and its ratio."""
    ours, bare = compare(command("codex-tasks", *words), environment, ROUNDS)
    show(f"{' '.join(words)[:44]}, {runs} runs", ours.cpu, bare.cpu)


if __name__ == "__main__":
    main()
