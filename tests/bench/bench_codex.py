"""Time the real Codex on the loopback server, with and without us.

    bin/bench codex

Both do the same: one command, one answer. They take turns, so that a machine that gets
slower or faster meanwhile does so for both.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.codex_home import INSTALLED, built_environment, find_real_codex
from support.commands import fields
from support.repository import make_repository

from runner.loopback import LoopbackServer, scripted, write_home

ROUNDS = 15
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
        compare(plain(codex, repo), ours(codex, repo, place), environment)
        rss = supervisor_memory(ours(codex, repo, place), environment)
        print(f"supervisor of a running Codex: {rss:.1f} MB resident")


def plain(codex: Path, repo: Path) -> list[str]:
    argv = [str(codex), "exec", "--json", "-C", str(repo)]
    return [*argv, "-s", "danger-full-access", "--", TASK]


def ours(codex: Path, repo: Path, place: Path, task: str = TASK) -> list[str]:
    argv = [sys.executable, "-P", "-m", "runner.cli.run_codex_task"]
    argv += ["--repo", str(repo), "--log-dir", str(place / "runs"), f"--task={task}"]
    return [*argv, "--codex-bin", str(codex), "--sandbox", "danger-full-access"]


def compare(plain: list[str], ours: list[str], environment: dict[str, str]) -> None:
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(ROUNDS):
        times["plain"].append(timed(plain, environment))
        times["ours"].append(timed(ours, environment))
    without, with_us = (statistics.median(times[name]) for name in ("plain", "ours"))
    print(
        f"real Codex, one command: {without * 1000:.0f} ms alone,"
        f" {with_us * 1000:.0f} ms with us = {with_us / without:.2f}"
    )


def timed(argv: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - began


def supervisor_memory(argv: list[str], environment: dict[str, str]) -> float:
    """Return the resident MB of a supervisor whose Codex waits for its model."""
    argv = [*(a for a in argv if a != f"--task={TASK}"), "--task=slow: 3", "--detach"]
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, check=True
    )
    time.sleep(1)
    pid = supervisor_of(fields(done.stdout)["codex_run_id"])
    resident = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.05)
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
