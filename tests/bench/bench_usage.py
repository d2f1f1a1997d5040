"""Time `codex-tasks usage` and a completion over ten thousand runs of 2 000 sessions.

The peer is the bare interpreter.

bin/bench usage
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.many import fill

SESSIONS, RUNS_EACH = 2_000, 5
ROUNDS = 15
PYTHON = [sys.executable, "-c", "print(1)"]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        state = Path(name, "state")
        began = time.perf_counter()
        runs = len(fill(state, SESSIONS, RUNS_EACH))
        print(f"{runs} runs put on record in {time.perf_counter() - began:.1f} s")
        environment = {**os.environ, "CODEX_RUNNER_HOME": str(state)}
        bare = timed(PYTHON, environment)
        for by in ("day", "model", "repo", "session"):
            for form in ([], ["--json"]):
                words = ["usage", "--by", by, *form]
                argv = [sys.executable, "-P", "-m", "runner.cli.codex_tasks", *words]
                show(" ".join(words), timed(argv, environment), bare)
        argv = [sys.executable, "-P", "-m", "runner.cli.codex_tasks"]
        argv += ["completion", "bash"]
        for what, line, piece in (("command", "st", "st"), ("task", "status ", "")):
            asked = [*argv, f"--line=codex-tasks {line}", f"--piece={piece}"]
            show(f"completion of a {what}", timed(asked, environment), bare)


def timed(argv: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a program takes, the median of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def show(name: str, ours: float, peer: float) -> None:
    print(
        f"{name:28} {ours * 1000:6.0f} ms / {peer * 1000:4.0f} ms = {ours / peer:.1f}"
    )


if __name__ == "__main__":
    main()
