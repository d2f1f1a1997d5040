"""Measure what asks for sessions, with ten of them on record and with ten thousand.

    bin/bench sessions

The peer is the bare interpreter, started in turn with each command: of the stores the
ratios tell whether an answer costs more the more there is. Except for `stop`, it is the
CPU time that counts. Unless they are exported, the sessions have no files, so `verify`
reports all as gone.
"""

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from support import many
from support.commands import rows_of
from support.measure import command, compare, show, show_value
from support.runs import PROCESS

from parsers.struct import replace
from runner.accounting.run import account_run
from runner.config import load
from runner.exports.task_files import render_json
from runner.ledger.ledger import Ledger
from runner.model import Finished, Running

FEW, MANY = 10, 10_000
RUNS = 1_000
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
        full = filled(place, 1, RUNS)
        for which, store in ((f"{FEW} sessions", few), (f"{MANY} sessions", lots)):
            compared(f"status TASK --json, {which}", status_of(store), store)
            for words in ("ls --limit 20", "ls --json --limit 20", "ls"):
                compared(f"{words}, {which}", words.split(), store)
            compared(f"ls --all --json, {which}", ["ls", "--all", "--json"], store)
            compared(f"verify, {which}", ["verify"], store, 1)
            ledger = Path(store["CODEX_RUNNER_HOME"], "ledger.db")
            runs = FEW if store is few else MANY
            size = ledger.stat().st_size / runs
            show_value(f"ledger per run, {which}", size / 1e3, "kB")
        for count, store in ((FEW, few), (MANY, lots)):
            many.export(Path(store["CODEX_RUNNER_HOME"]))
            compared(f"verify, {count} sessions with files", ["verify"], store, 3)
        compared(f"status TASK --json, 1 session of {RUNS} runs", status_of(full), full)
        ends = [end_of_run(Path(s["CODEX_RUNNER_HOME"])) for s in (few, full)]
        show(f"end of a run after {RUNS - 1} others / of the first", ends[1], ends[0])
        stops = [stop_of_many(place, number) for number in range(5)]
        what = f"stop of a run with {DESCENDANTS} descendants"
        show(what, statistics.median(stops))


def compared(
    what: str, words: list[str], store: dict[str, str], rounds: int = ROUNDS
) -> None:
    """Print the CPU time of a command, and its ratio to the bare interpreter."""
    ours, bare = compare(command("codex-tasks", *words), store, rounds)
    show(what, ours.cpu, bare.cpu)


def end_of_run(home: Path) -> float:
    """Return the CPU seconds of the end of the last run in a ledger.

    That is its accounting, its transaction, and the rendering of `task.json`.
    """
    ledger, settings = (
        Ledger(home),
        load({**os.environ, "CODEX_RUNNER_HOME": str(home)}),
    )
    key = ledger.sessions.all(most=1)[0].key
    over = ledger.runs.find(ledger.runs.ids(key)[-1])
    assert isinstance(over.state, Finished)
    times = []
    for number in range(ROUNDS):
        run = replace(over, spec=replace(over.spec, run_id=f"{over.run_id}-{number}"))
        gone = replace(PROCESS, start_time=number)
        state = Running(supervisor=gone, codex=gone, started_at=run.started_at)
        was = replace(run, state=state)
        with ledger.transaction():
            ledger.runs.insert(was)
        was, before = ledger.runs.find(run.run_id), time.process_time()
        account_run(was, ledger, settings)
        ledger.runs.finish(was, replace(was, state=over.state))
        render_json(ledger, key, "the answer")
        times.append(time.process_time() - before)
    ledger.close()
    return statistics.median(times)


def filled(place: Path, sessions: int, runs: int = 1) -> dict[str, str]:
    """Make a store of so many sessions, and return the environment that names it."""
    home = place / f"state-{sessions}-{runs}"
    many.fill(home, sessions, runs)
    return {
        **os.environ,
        "CODEX_RUNNER_HOME": str(home),
        "CODEX_HOME": str(place / "codex"),
    }


def status_of(environment: dict[str, str]) -> list[str]:
    """Return the words that ask for the newest session."""
    out = subprocess.check_output(
        command("codex-tasks", "ls", "--json", "--limit", "1"), env=environment
    )
    return ["status", "--json", rows_of(out)[0]["short_id"]]


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
    subprocess.run(
        command("codex-tasks", *words),
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while sleepers(environment) < DESCENDANTS and time.monotonic() < deadline:
        time.sleep(0.05)
    passed = seconds(command("codex-tasks", "stop", THREAD), environment)
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


if __name__ == "__main__":
    main()
