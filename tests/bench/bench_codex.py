"""Time the real Codex on the loopback server, with and without us.

    bin/bench codex

Both do the same: one command, one answer. They take turns, so that a machine that gets
slower or faster meanwhile does so for both.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.codex_home import INSTALLED, built_environment, find_real_codex
from support.commands import fields
from support.measure import command, compare, show
from support.repository import make_repository

from runner.loopback import LoopbackServer, scripted, write_home

ROUNDS = 30
NO_SANDBOX = ("--sandbox", "danger-full-access")
TASK = "run: true\nsay: done"


def main() -> None:
    codex = find_real_codex()
    if codex is None:
        sys.exit(f"the real Codex is not installed in {INSTALLED.parent}")
    with tempfile.TemporaryDirectory() as name, LoopbackServer(scripted) as server:
        place = Path(name)
        write_home(place / "codex-home", server.config_toml())
        repo = make_repository(place / "repo")
        environment = built_environment(
            place / "home",
            CODEX_HOME=place / "codex-home",
            CODEX_RUNNER_HOME=place / "state",
        )
        alone = plain(codex, repo)
        mine, theirs = compare(ours(codex, repo, place), environment, ROUNDS, alone)
        show("real Codex, one command, with us / alone", mine.whole, theirs.whole)
        mine, theirs = compare(started(codex, repo), environment, ROUNDS, alone)
        show("codex-tasks start / its thread.started alone", mine.whole, theirs.first)
        rss = supervisor_memory(ours(codex, repo, place), environment)
        print(f"supervisor of a running Codex: {rss:.1f} MB resident")


def plain(codex: Path, repo: Path) -> list[str]:
    argv = [str(codex), "exec", "--json", "-C", str(repo)]
    return [*argv, "-s", "danger-full-access", "--", TASK]


def ours(codex: Path, repo: Path, place: Path, task: str = TASK) -> list[str]:
    words = ("--repo", repo, "--log-dir", place / "runs", f"--task={task}")
    return command("run_codex_task", *words, "--codex-bin", codex, *NO_SANDBOX)


def started(codex: Path, repo: Path) -> list[str]:
    words = ("--working-dir", repo, "--codex-bin", codex, *NO_SANDBOX, TASK)
    return command("codex-tasks", "start", *words)


def supervisor_memory(argv: list[str], environment: dict[str, str]) -> float:
    """Return the resident MB of a supervisor whose Codex waits for its model."""
    argv = [*(a for a in argv if a != f"--task={TASK}"), "--task=slow: 3", "--detach"]
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, check=True
    )
    time.sleep(1)
    pid = supervisor_of(fields(done.stdout)["codex_run_id"])
    resident = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    os.waitpid(pid, 0)  # `spent` has made this process the parent of all orphans
    return int(resident) * os.sysconf("SC_PAGE_SIZE") / 1e6


def supervisor_of(run_id: str) -> int:
    """Find the process that was started with this run's id."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if run_id.encode() in words and b"runner.supervisor" in words:
                return int(entry.name)
    sys.exit(f"the supervisor of {run_id} is not there")


if __name__ == "__main__":
    main()
