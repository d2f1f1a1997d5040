"""Time what asks for sessions, with one of them on record and with ten thousand.

    bin/bench sessions

The peer is the bare interpreter in the same run; of the two stores the ratio tells
whether a question takes longer the more there is.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support import many

FEW, MANY = 1, 10_000
ROUNDS = 15
DESCENDANTS = 10
THREAD = "01a1f000-0000-7000-8000-000000000001"
# Codex with tools in sessions of their own; all obey TERM.
BUSY = f"""#!/bin/sh
[ "$1" = --version ] && exec echo codex-cli 0.169.0
echo '{{"type":"thread.started","thread_id":"{THREAD}"}}'
echo '{{"type":"turn.started"}}'
for n in $(seq {DESCENDANTS}); do setsid sleep 300 & done
wait
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        few, lots = (filled(place, count) for count in (FEW, MANY))
        nothing = [sys.executable, "-c", "1"]
        bare = [seconds(nothing, dict(os.environ)) for _ in range(ROUNDS)]
        status = ["status", "--json"]
        one = asked([*status, task_of(few)], few)
        ten_thousand = asked([*status, task_of(lots)], lots)
        show("status TASK --json, 1 session / bare python", one, bare)
        show(f"... of {MANY} sessions / of 1", ten_thousand, one)
        show(
            f"ls --json --limit 20 of {MANY} / bare python",
            asked(["ls", "--json", "--limit", "20"], lots),
            bare,
        )
        show(f"ls of {MANY}, to a file / bare python", asked(["ls"], lots, 3), bare)
        stops = [stop_of_many(place, number) for number in range(5)]
        show(f"stop of a run with {DESCENDANTS} descendants / bare", stops, bare)


def filled(place: Path, sessions: int) -> dict[str, str]:
    """Make a store of so many sessions, and return the environment that names it."""
    home = place / f"state-{sessions}"
    many.fill(home, sessions, 1)
    return {
        **os.environ,
        "CODEX_RUNNER_HOME": str(home),
        "CODEX_HOME": str(place / "codex"),
    }


def task_of(environment: dict[str, str]) -> str:
    out = subprocess.check_output(argv(["ls", "--limit", "1"]), env=environment)
    return out.decode().splitlines()[1].split()[0]


def argv(words: list[str]) -> list[str]:
    """Build the command line as bin/codex-tasks does, without its shell."""
    program = "from runner.cli.main import codex_tasks; codex_tasks()"
    return [sys.executable, "-P", "-c", f"{_PATH}; {program}", *words]


_PATH = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})"


def asked(
    words: list[str], environment: dict[str, str], rounds: int = ROUNDS
) -> list[float]:
    return [seconds(argv(words), environment) for _ in range(rounds)]


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a program takes."""
    began = time.perf_counter()
    subprocess.run(
        words, env=environment, check=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - began


def stop_of_many(place: Path, number: int) -> float:
    """Return the seconds from `stop` to its end, when all descendants are gone."""
    environment = {
        **os.environ,
        "CODEX_RUNNER_HOME": str(place / f"stop-{number}"),
        "CODEX_HOME": str(place / "codex"),
    }
    codex = place / "busy"
    codex.write_text(BUSY, encoding="utf-8")
    codex.chmod(0o755)
    words = ["start", "--codex-bin", str(codex), "--working-dir", str(place), "go"]
    subprocess.run(argv(words), env=environment, check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while sleepers(environment) < DESCENDANTS and time.monotonic() < deadline:
        time.sleep(0.05)
    passed = seconds(argv(["stop", THREAD]), environment)
    left = sleepers(environment)
    assert not left, f"{left} descendants are left"
    return passed


def sleepers(environment: dict[str, str]) -> int:
    """Count the processes that carry the state directory of one round."""
    mark = f"CODEX_RUNNER_HOME={environment['CODEX_RUNNER_HOME']}".encode()
    found = 0
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
            entries = (directory / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        found += words[:1] == [b"sleep"] and mark in entries
    return found


def show(what: str, ours: list[float], peer: list[float]) -> None:
    """Print medians and their ratio."""
    mine, theirs = statistics.median(ours), statistics.median(peer)
    print(f"{what:55} {mine * 1e3:8.1f} ms {mine / theirs:6.2f} x")


if __name__ == "__main__":
    main()
