"""Measure `codex-tasks usage` and a completion, over ten and over 100 000 runs.

    bin/bench usage [RUNS]

The peer is the bare interpreter, started in turn; it is the CPU time that counts.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from support.many import fill
from support.measure import cpu

RUNS, RUNS_EACH = 100_000, 5
ROUNDS = 9
PYTHON = [sys.executable, "-c", "pass"]


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
        show(runs, ["usage", "--by", by, "--json"], environment)
    show(runs, ["usage"], environment)
    show(runs, ["usage", "--since", "2026-10-20T08:07:00Z"], environment)
    for line, piece in (("st", "st"), ("status ", "")):
        asked = ["completion", "bash", f"--line=codex-tasks {line}", f"--piece={piece}"]
        show(runs, asked, environment)


def show(runs: int, words: list[str], environment: dict[str, str]) -> None:
    """Print the CPU time of a command, the median of some rounds, and its ratio."""
    argv = [sys.executable, "-P", "-m", "runner.cli.codex_tasks", *words]
    ours, bare = list[float](), list[float]()
    for _ in range(ROUNDS):
        bare.append(cpu(PYTHON, environment))
        ours.append(cpu(argv, environment))
    mine, theirs = statistics.median(ours), statistics.median(bare)
    name = f"{' '.join(words)}, {runs} runs"
    print(f"{name:60} {mine * 1e3:7.1f} ms {mine / theirs:6.2f} x", flush=True)


if __name__ == "__main__":
    main()
