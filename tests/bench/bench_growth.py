"""Measure every command with ten runs on record and with a hundred thousand.

    bin/bench growth [RUNS …]

Prints the table of docs/performance.md: the CPU of all processes of a command, as times
that of a bare interpreter. The runs are without files, five in each session.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support import many
from support.commands import rows_of
from support.measure import command, compare

RUNS, RUNS_EACH = (10, 1_000, 10_000, 100_000), 5
ROUNDS = 7
SLOW = {"verify": 1, "ls": 3}
CODEX = """#!/bin/sh
[ "$1" = --version ] && exec echo codex-cli 0.169.0
read -r id < /proc/sys/kernel/random/uuid
echo '{"type":"thread.started","thread_id":"'$id'"}'
"""


def main() -> None:
    counts = tuple(map(int, sys.argv[1:])) or RUNS
    columns = [column(count) for count in counts]
    print("| command |", " | ".join(f"{count:,} runs" for count in counts), "|")
    print("| --- |", " | ".join("---" for _ in counts), "|")
    for name in columns[0]:
        print(f"| `{name}` |", " | ".join(f"{each[name]:.1f}" for each in columns), "|")


def column(runs: int) -> dict[str, float]:
    """Measure each command over so many runs."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        many.fill(place / "state", max(1, runs // RUNS_EACH), RUNS_EACH)
        codex = place / "codex"
        codex.write_text(CODEX, encoding="utf-8")
        codex.chmod(0o755)
        environment = {
            **os.environ,
            "CODEX_RUNNER_HOME": str(place / "state"),
            "CODEX_HOME": str(place / "home"),
        }
        found = {}
        for shown, argv in commands(place, environment).items():
            rounds = SLOW.get(shown, ROUNDS) if runs > RUNS[1] else ROUNDS
            ours, bare = compare(argv, environment, rounds)
            found[shown] = ours.cpu / bare.cpu
        return found


def commands(place: Path, environment: dict[str, str]) -> dict[str, list[str]]:
    """Return what is measured: as it is shown, and its command line."""
    listed = subprocess.check_output(
        command("codex-tasks", "ls", "--json", "--limit", "1"), env=environment
    )
    task = rows_of(listed)[0]["short_id"]
    codex = ("--codex-bin", place / "codex")
    run = ("--repo", place, "--log-dir", place / "runs", "--task", "go", *codex)
    start = ("start", "--working-dir", place, *codex, "go")
    return {
        "run_codex_task": command("run_codex_task", *run),
        "start": command("codex-tasks", *start),
        **{
            " ".join(words).replace(task, "TASK"): command("codex-tasks", *words)
            for words in (
                ("status", task),
                ("status", task, "--json"),
                ("result", task),
                ("log", task),
                ("stop", task),
                ("ls", "--limit", "20"),
                ("ls", "--state", "RUNNING"),
                ("ls",),
                ("usage",),
                ("usage", "--by", "session"),
                ("prune", "--older-than", "1d", "--dry-run"),
                ("archive", "--older-than", "3650d", "--dry-run"),
                ("verify",),
            )
        },
    }


if __name__ == "__main__":
    main()
