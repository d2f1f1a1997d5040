"""Time what a caller waits for and what a run costs, as ratios to peers.

    bin/bench runs

The peer of a start is the bare interpreter, that of fifty starts is fifty bare
interpreters at once; the stand-in for Codex ends at once, so that only our own time
is seen.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PYTHON = [sys.executable, "-c", "print(1)"]
ROUNDS = 15
AT_ONCE = 50
IDLE_SECONDS = 10.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        environment = {
            **os.environ,
            "CODEX_RUNNER_HOME": str(place / "state"),
            "CODEX_HOME": str(place / "codex"),
        }
        argv = run_argv(place, "/bin/true")
        ours = [first_line(argv, environment) for _ in range(ROUNDS)]
        bare = [first_line(PYTHON, environment) for _ in range(ROUNDS)]
        show("first line of run_codex_task / bare python", ours, bare)
        show("... --help / bare python", helps(environment), bare)
        nothing = place / "nothing"
        nothing.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        nothing.chmod(0o755)
        followed = [w for w in run_argv(place, str(nothing)) if w != "--detach"]
        whole = [to_the_end(followed, environment) for _ in range(ROUNDS)]
        show("whole run, a stand-in that does nothing / bare python", whole, bare)
        compare_with_bash(place, nothing, whole, environment)
        many = [together(argv, environment)]
        show(
            f"{AT_ONCE} starts at once / {AT_ONCE} bare pythons",
            many,
            [together(PYTHON, environment)],
        )
        print(f"{'CPU of a supervisor while Codex is silent':55}", end=" ")
        print(f"{idle_share(place, environment):.2%} of a core")


def run_argv(place: Path, codex: str) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "runner.cli.run_codex_task"),
        *("--repo", str(place), "--log-dir", str(place / "runs")),
        *("--task", "nothing", "--codex-bin", codex, "--detach"),
    ]


def helps(environment: dict[str, str]) -> list[float]:
    argv = [sys.executable, "-P", "-m", "runner.cli.run_codex_task", "--help"]
    return [first_line(argv, environment) for _ in range(ROUNDS)]


def compare_with_bash(
    place: Path, codex: Path, ours: list[float], environment: dict[str, str]
) -> None:
    """Let the bash runner do the same, where there is one."""
    if (bash := shutil.which("run_codex_task.sh")) is None:
        print("run_codex_task.sh, the bash runner, is not installed: no ratio")
        return
    argv = [bash, "--repo", str(place), "--log-dir", str(place / "bash")]
    argv += ["--task", "nothing", "--codex-bin", str(codex), "--no-cache"]
    theirs = [to_the_end(argv, environment) for _ in range(ROUNDS)]
    show("whole run / the bash runner's", ours, theirs)


def to_the_end(argv: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a program takes."""
    began = time.perf_counter()
    subprocess.run(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return time.perf_counter() - began


def first_line(argv: list[str], environment: dict[str, str]) -> float:
    """Return the seconds from the start of a program to its first line."""
    began = time.perf_counter()
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        passed = time.perf_counter() - began
        process.stdout.read()
    return passed


def together(argv: list[str], environment: dict[str, str]) -> float:
    """Return the seconds until many, started at once, have all returned."""
    began = time.perf_counter()
    started = [
        subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(AT_ONCE)
    ]
    for process in started:
        process.wait()
    return time.perf_counter() - began


def idle_share(place: Path, environment: dict[str, str]) -> float:
    """Return the share of a core that a supervisor takes while Codex is silent."""
    silent = place / "silent"
    silent.write_text(f"#!/bin/sh\nexec sleep {IDLE_SECONDS + 2}\n", encoding="utf-8")
    silent.chmod(0o755)
    out = subprocess.check_output(run_argv(place, str(silent)), env=environment)
    meta = next(line for line in out.split() if line.startswith(b"meta_file="))
    record = json.loads(Path(os.fsdecode(meta[len("meta_file=") :])).read_bytes())
    pid = record["processes"]["supervisor"]["pid"]
    time.sleep(1)
    before = cpu(pid)
    time.sleep(IDLE_SECONDS)
    return (cpu(pid) - before) / IDLE_SECONDS


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def show(name: str, ours: list[float], peer: list[float]) -> None:
    mine, theirs = statistics.median(ours), statistics.median(peer)
    print(
        f"{name:55} {mine * 1000:8.1f} ms / {theirs * 1000:7.1f} ms"
        f" = {mine / theirs:.1f}"
    )


if __name__ == "__main__":
    main()
