"""Time the migration of a state directory of version 0.2 with ten thousand sessions.

    bin/bench migrate

The peer is a backup of the same index by SQLite, in the same run.
"""

import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.old_state import make, record_of, row_of

from runner.ledger.migrate import migrate

SESSIONS = 10_000
# Every second session has been resumed once.
RUNS = SESSIONS + SESSIONS // 2
ROUNDS = 3
PROGRAM = """
import sys; from pathlib import Path; from runner.ledger.migrate import migrate
migrate(Path(sys.argv[1]))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))"""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_USED = (
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "total_tokens",
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        state = fill(place / "state")
        index = state / "runs.db"
        size = index.stat().st_size / 1e6
        print(f"{SESSIONS} sessions, {RUNS} runs, {size:.0f} MB")
        saved = [seconds(lambda: back_up(index, place / "copy.db")) for _ in range(9)]
        back_up(index, place / "pristine.db")
        taken = []
        for _ in range(ROUNDS):
            taken.append(seconds(lambda: migrate(state)))
            for path in (*state.glob("ledger.db*"), *state.glob("runs.db*")):
                path.unlink()
            back_up(place / "pristine.db", index)
        show("SQLite backup", saved, saved)
        show("migration", taken, saved)
        argv = [sys.executable, "-c", PROGRAM, str(state)]
        peak = subprocess.check_output(argv).decode().split()[1]
        print(f"peak memory of a process that migrates: {int(peak) // 1024} MB")


def fill(state: Path) -> Path:
    """Make the index, and the files by which a run is found."""
    statements = []
    for number in range(SESSIONS):
        at = BEGAN + timedelta(minutes=number)
        key = str(uuid.UUID(int=number + 1))
        logs = state / key / "runs"
        logs.mkdir(parents=True)
        record: dict[str, object] = {}
        for again in range(1 + number % 2):
            run_id = f"{at + timedelta(seconds=again):%Y%m%d-%H%M%S-%f}-{number:08x}"
            record = record_of(run_id, key, str(logs), **details(again))
            statements += [row_of(record, key), usage_of(record, key)]
            (logs / f"codex-run-{run_id}.events.jsonl").touch()
        statements.append(session_of(record, key))
    make(state, 2, *statements)
    with contextlib.closing(sqlite3.connect(state / "runs.db")) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return state


def details(again: int) -> dict[str, object]:
    """Make what fills a record: as long as those of real runs are."""
    used = dict.fromkeys(_USED, 1000 + again)
    paths = ("log_file", "events_file", "stderr_file", "prompt_file", "meta_file")
    return {
        "task": "Look at this and say what you think of it. " * 8,
        "token_usage": {**used, "source": "rollout"},
        "cost": {"usd": 0.01, "model": "gpt-5.1-codex", "parts": {"input": 0.01}},
        "accounts": {"has_answer": True, "answer_checksum": 1, "thread_usage": used},
        **dict.fromkeys(paths, "/home/somebody/.codex/tasks/" + "x" * 100),
    }


def session_of(record: dict[str, object], key: str) -> tuple[str, list[object]]:
    at, run_id = record["prepared_at"], record["run_id"]
    sql = "insert into sessions values (?, 'A title', ?, ?, ?, 'succeeded', null, ?)"
    return sql, [key, at, at, run_id, run_id]


def usage_of(record: dict[str, object], key: str) -> tuple[str, list[object]]:
    sql = (
        "insert into usage values (?, 'own-model', ?, '/repo', ?, 1, 1, 1, 1, 1, 0.01)"
    )
    return sql, [record["run_id"], key, record["prepared_at"]]


def back_up(source: Path, to: Path) -> None:
    to.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(source)) as old,
        contextlib.closing(sqlite3.connect(to)) as new,
    ):
        old.backup(new)
    os.utime(to)


def seconds(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def show(what: str, ours: list[float], peer: list[float]) -> None:
    """Print medians and their ratio."""
    mine, theirs = statistics.median(ours), statistics.median(peer)
    print(f"{what:40} {mine * 1e3:8.1f} ms {mine / theirs:6.2f} x")


if __name__ == "__main__":
    main()
