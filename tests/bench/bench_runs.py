"""Measure what a caller waits for and what a run costs, as ratios to bare interpreters.

    bin/bench runs

The stand-in for Codex names a thread and ends, so only our own time is seen. All 500
runs of the last part are idle: their Codex says nothing.
"""

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Self

from support import many
from support.commands import fields
from support.measure import BARE, command, compare, show, show_value, spent

ROUNDS = 21
AT_ONCE = (50, 500)
IDLE_SECONDS = 10.0
IDLE_RUNS = 500
SESSIONS = 10_000
LINES = 40
# How many each user may have, root too.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
QUICK = """#!/bin/sh
[ "$1" = --version ] && exec echo codex-cli 0.169.0
read -r id < /proc/sys/kernel/random/uuid
echo '{"type":"thread.started","thread_id":"'$id'"}'
"""
# Notes when it begins and when it ends. Its supervisor has loaded everything by then.
NOTING = """#!/bin/sh
[ "$1" = --version ] && exec echo codex-cli 0.169.0
date +%s%N >> "$0.notes"
read -r id < /proc/sys/kernel/random/uuid
for word; do
    case $word in ????????-????-????-????-????????????) id=$word ;; esac
done
echo '{"type":"thread.started","thread_id":"'$id'"}'
echo '{"type":"turn.started"}'
sleep 0.5
echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
date +%s%N >> "$0.notes"
"""
# Says when it has written each line.
TALKING = f"""#!{sys.executable}
import json, time
print('{{"type":"thread.started","thread_id":"01a1f000-0000-7000-8000-000000000001"}}')
print('{{"type":"turn.started"}}', flush=True)
for number in range({LINES}):
    time.sleep(0.05)
    item = dict(id=str(number), type="agent_message", text=f"at {{time.time_ns()}}")
    print(json.dumps(dict(type="item.completed", item=item)), flush=True)
print('{{"type":"turn.completed"}}')
"""


class Bench:
    """Run stand-ins in a place of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {
            **os.environ,
            "CODEX_RUNNER_HOME": str(place / "state"),
            "CODEX_HOME": str(place / "codex"),
        }

    def codex(self, name: str, script: str) -> Path:
        path = self.place / name
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
        return path

    def run(self, codex: Path, *more: str) -> list[str]:
        words = ("--repo", self.place, "--log-dir", self.place / "runs")
        task = ("--task", "nothing", "--codex-bin", codex)
        return command("run_codex_task", *words, *task, *more)

    def start(self, codex: Path) -> list[str]:
        return command("codex-tasks", "start", "--codex-bin", codex, "nothing")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        place.chmod(0o755)
        bench = Bench(place)
        one_run(bench)
        next_prompt(bench)
        latency(bench)
        starts_at_once(bench)
        idle(bench)


def one_run(bench: Bench) -> None:
    quick = bench.codex("quick", QUICK)
    ours, bare = compare(bench.run(quick), bench.environment, ROUNDS)
    show("start to the line codex_run_id=", ours.first, bare.first)
    show("whole run_codex_task, a stand-in that does nothing", ours.whole, bare.whole)
    show("CPU of all processes of a run", ours.cpu, bare.cpu)
    ours, bare = compare(bench.start(quick), bench.environment, ROUNDS)
    show("codex-tasks start returns", ours.whole, bare.whole)
    helps, bare = compare(
        command("run_codex_task", "--help"), bench.environment, ROUNDS
    )
    show("run_codex_task --help", helps.whole, bare.whole)
    if (bash := shutil.which("run_codex_task.sh")) is None:
        print("run_codex_task.sh, the bash runner, is not installed: no ratio to it")
        return
    words = ["--repo", str(bench.place), "--log-dir", str(bench.place / "bash")]
    words += ["--task", "nothing", "--codex-bin", str(quick), "--no-cache"]
    theirs, bare = compare([bash, *words], bench.environment, ROUNDS)
    show("whole run of the bash runner", theirs.whole, bare.whole)
    show("CPU of the bash runner", theirs.cpu, bare.cpu)


def next_prompt(bench: Bench) -> None:
    """Show how long the next prompt waits after the end of a run.

    Its peer is a command that starts the same Codex and returns.
    """
    noting = bench.codex("noting", NOTING)
    notes = bench.place / "noting.notes"
    start, returned = [], []
    for _ in range(ROUNDS):
        began = time.time_ns()
        subprocess.run(
            bench.run(noting, "--detach"),
            env=bench.environment, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        returned.append((time.time_ns() - began) / 1e9)
        wait_for_all(Path(bench.environment["CODEX_RUNNER_HOME"]))
        start.append((int(notes.read_text().split()[-2]) - began) / 1e9)
    notes.unlink()
    home = {**bench.environment, "CODEX_RUNNER_HOME": str(bench.place / "queue")}

    def tasks(*words: object) -> str:
        argv = command("codex-tasks", *words)
        return subprocess.check_output(
            argv, env=home, cwd=bench.place, stderr=subprocess.DEVNULL, text=True
        )

    tasks("slots", 0)
    name = tasks("start", "--queue", "--codex-bin", noting, "0").strip()
    for number in range(ROUNDS):
        tasks("send", "--queue", name, number)
    tasks("slots", "none")
    tasks("status", "--wait", name)
    times = [int(each) / 1e9 for each in notes.read_text().split()]
    gaps = [begin - end for end, begin in zip(times[1:-1:2], times[2::2], strict=True)]
    peer = statistics.median(returned)
    show("run_codex_task --detach returns", peer)
    show("... its Codex has started", statistics.median(start), peer)
    show("the end of a run to the next Codex", statistics.median(gaps), peer)


def latency(bench: Bench) -> None:
    """Show how long a line takes from Codex to the caller."""
    argv = bench.run(bench.codex("talking", TALKING))
    late = []
    with subprocess.Popen(
        argv, env=bench.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            at = line.split()[-2:]
            if at and at[0] == "at":
                late.append((time.time_ns() - int(at[1])) / 1e9)
    show(
        "a line that Codex has written reaches the caller, median",
        statistics.median(late),
    )
    show("... the last of 20", sorted(late)[-max(1, len(late) // 20)])


def starts_at_once(bench: Bench) -> None:
    """Show how long many starts take until all ids are printed."""
    full = bench.place / "full"
    many.fill(full, SESSIONS, 1)
    for count in AT_ONCE:
        bare = together([BARE] * count, bench.environment)[0]
        for name, state in (
            ("a fresh ledger", f"fresh-{count}"),
            ("10,000 runs", "full"),
        ):
            home = {**bench.environment, "CODEX_RUNNER_HOME": str(bench.place / state)}
            quick = bench.codex("quick", QUICK)
            if not (bench.place / state).exists():
                spent(bench.run(quick, "--detach"), home)
            with Prober(bench.place / state) as prober:
                ids, failed = together([bench.run(quick, "--detach")] * count, home)
            wait_for_all(bench.place / state)
            what = f"{count} starts at once, all ids printed, {name}"
            show(what, ids, bare)
            longest = max(prober.waited, default=0.0)
            show(f"... longest wait for the ledger meanwhile, {failed} failed", longest)


class Prober:
    """Take the write lock of a ledger again and again, and note how long it takes."""

    def __init__(self, home: Path) -> None:
        self.waited: list[float] = []
        self._home = home
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _work(self) -> None:
        ledger = sqlite3.connect(
            self._home / "ledger.db", timeout=60, isolation_level=None
        )
        while not self._is_over.wait(0.01):
            began = time.perf_counter()
            ledger.execute("begin immediate")
            self.waited.append(time.perf_counter() - began)
            ledger.execute("rollback")
        ledger.close()


def together(argvs: list[list[str]], environment: dict[str, str]) -> tuple[float, int]:
    """Return the seconds until all have returned, and how many have failed."""
    began = time.perf_counter()
    started = [
        subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for argv in argvs
    ]  # fmt: skip
    errors = [process.communicate()[1] for process in started]
    passed = time.perf_counter() - began
    # A note that another run works in the directory is no failure.
    pairs = zip(started, errors, strict=True)
    failed = [error for process, error in pairs if process.returncode]
    for error in failed[:3]:
        print(os.fsdecode(error).rstrip())
    return passed, len(failed)


def wait_for_all(home: Path) -> None:
    """Wait until no run of a state directory is unfinished."""
    ledger = sqlite3.connect(home / "ledger.db", timeout=60)
    unfinished = "select count(*) from runs where state <> 'finished'"
    deadline = time.monotonic() + 300
    while ledger.execute(unfinished).fetchone()[0] and time.monotonic() < deadline:
        time.sleep(0.2)
    ledger.close()


def idle(bench: Bench) -> None:
    """Show what runs cost whose Codex is silent: one, and many at once."""
    home = {**bench.environment, "CODEX_RUNNER_HOME": str(bench.place / "idle")}
    seconds = IDLE_SECONDS * 2 + IDLE_RUNS * 0.2
    silent = bench.codex("silent", f"{QUICK}exec sleep {seconds}\n")
    argv = bench.run(silent, "--detach")
    start = partial(subprocess.check_output, argv, env=home, text=True)
    ids = {fields(start())["codex_run_id"]}
    (one,) = supervisors(ids)
    time.sleep(2)  # Codex has been started, and everything is loaded
    woken, used = switches(one), cpu(one)
    time.sleep(IDLE_SECONDS)
    show_value("wake-ups of an idle supervisor in 10 s", switches(one) - woken, "")
    show_value("CPU of an idle supervisor", (cpu(one) - used) / IDLE_SECONDS * 100, "%")
    show_value("PSS of an idle supervisor", pss(one), "MB")
    ids.update(fields(start())["codex_run_id"] for _ in range(IDLE_RUNS - 1))
    all_of_them = supervisors(ids)
    used = sum(map(cpu, all_of_them))
    time.sleep(IDLE_SECONDS)
    share = (sum(map(cpu, all_of_them)) - used) / IDLE_SECONDS * 100
    allowed = int(INOTIFY.read_text(encoding="ascii"))
    what = f"idle runs with {allowed} inotify instances, of {IDLE_RUNS}"
    show_value(what, len(all_of_them), "")
    show_value("... CPU of all, of a core", share, "%")
    show_value("... PSS of each", statistics.mean(map(pss, all_of_them)), "MB")
    tasks = command("codex-tasks", "stop", "--all")
    subprocess.run(tasks, env=home, stdout=subprocess.DEVNULL, check=False)
    wait_for_all(bench.place / "idle")


def supervisors(ids: set[str]) -> set[int]:
    """Find the supervisors of runs by their names in the process list."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if words[0] == "runner.supervisor" and words[1] in ids:
            found.add(int(entry.name))
    return found


def switches(pid: int) -> int:
    """Return how often a process has begun to wait."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def pss(pid: int) -> float:
    """Return the MB of a process, shared memory divided by those who share it."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(told.partition("\nPss:")[2].split()[0]) / 1e3


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
