"""Measure what `codex-tasks ls --watch` costs: the CPU time of one core in percent.

    bin/bench watch [RUNS …]

The runs are stand-ins: each begins or ends a command every four seconds. The peer is
the same screen with one run.
"""

import os
import pty
import select
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from support.measure import command, show_value

RUNS = (1, 50)
SECONDS = 20.0
WARM_UP = 3.0
# Says something every PACE seconds, and never ends.
BUSY = f"""#!{sys.executable}
import json, sys, time, uuid
if "--version" in sys.argv:
    sys.exit(print("codex-cli 0.169.0"))
def say(**told):
    print(json.dumps(told), flush=True)
say(type="thread.started", thread_id=str(uuid.uuid4()))
say(type="turn.started")
item = dict(id="i", type="command_execution", command="bash -lc 'make all'")
for number in range(100_000):
    item["id"] = str(number)
    for phase in ("started", "completed"):
        say(type="item." + phase, item=dict(item, aggregated_output="", exit_code=None,
            status="in_progress"))
        time.sleep(4)
"""


def main() -> None:
    """Print the load of the screen for each number of runs."""
    for runs in map(int, sys.argv[1:] or RUNS):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            measure(Path(name), runs)


def measure(place: Path, runs: int) -> None:
    """Start the runs, and watch them."""
    codex = place / "codex"
    codex.write_text(BUSY, encoding="utf-8")
    codex.chmod(0o755)
    environment = {
        **os.environ,
        "CODEX_RUNNER_HOME": str(place / "state"),
        "CODEX_HOME": str(place / "codex-home"),
        "CODEX_RUNNER_TIMER": "0",
        "TERM": "xterm-256color",
    }
    words = ("start", "--codex-bin", codex, "--skip-git-repo-check")
    try:
        for number in range(runs):
            repo = place / f"repo-{number}"
            repo.mkdir()
            subprocess.run(
                command("codex-tasks", *words, "--working-dir", repo, "Work"),
                env=environment,
                check=True,
                capture_output=True,
            )
        for size in ((24, 80), (60, 200)):
            load, written = watched(environment, size)
            what = f"ls --watch, {runs} runs, {size[1]}x{size[0]}"
            show_value(what, load * 100, "% of a core")
            show_value(f"{what}, written", written, "bytes a second")
    finally:
        subprocess.run(
            command("codex-tasks", "stop", "--all"),
            env=environment,
            check=False,
            capture_output=True,
        )


def watched(environment: dict[str, str], size: tuple[int, int]) -> tuple[float, float]:
    """Return the CPU seconds and the bytes that the screen takes in a second."""
    keyboard, screen = pty.openpty()
    termios.tcsetwinsize(screen, size)
    with subprocess.Popen(
        command("codex-tasks", "ls", "--watch"),
        env=environment, stdin=screen, stdout=screen, stderr=screen,
    ) as process:  # fmt: skip
        drain(keyboard, WARM_UP)
        before = cpu_of(process.pid)
        written = drain(keyboard, SECONDS)
        spent = cpu_of(process.pid) - before
        os.write(keyboard, b"q")
        drain(keyboard, 1)
    os.close(keyboard)
    os.close(screen)
    return spent / SECONDS, written / SECONDS


def drain(keyboard: int, seconds: float) -> int:
    """Read for a time what is drawn; return how much that was."""
    end, count = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        if select.select([keyboard], (), (), left)[0]:
            count += len(os.read(keyboard, 1 << 16))
    return count


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
