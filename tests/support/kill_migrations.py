"""Kills migrations at random moments and compares what the next one makes of it.

    python kill_migrations.py STATE KILLS SEED

STATE is a directory of version 0.2. It prints a line of JSON: `kills` says how often
what was found after one, and `bad` what must not be. Each migration is a fork, so that
a kill never falls into the start of an interpreter.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from runner.ledger import migrate

# How often the one that comes after a kill is killed too.
_AGAIN = 0.6
# Half of the kills come when it is about to be over: there is the commit point.
_LATE = 0.7
_LATEST = 1.2


def main(state: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same kills every time
    pristine = state.with_name("pristine.db")
    shutil.copy(_whole(state / "runs.db"), pristine)
    began = time.monotonic()
    _wait(_start(state))
    usual = time.monotonic() - began
    reference = _dump(state)
    found, bad = Counter[str](), list[str]()
    while found.total() < kills:
        _reset(state, pristine)
        while found.total() < kills:
            first = chance.choice((0.0, _LATE))
            if not _kill(_start(state), usual * chance.uniform(first, _LATEST)):
                break
            what = _state_of(state)
            found[what] += 1
            if what in {"two truths", "none"}:
                bad.append(what)
            if chance.random() > _AGAIN:
                _wait(_start(state))
                break
        if (state / "ledger.db").exists() and _dump(state) != reference:
            bad.append("the ledger differs")
        if _state_of(state) == "done" and _integrity(state) != "ok":
            bad.append("the ledger is damaged")
    print(json.dumps({"kills": found, "bad": bad}))  # noqa: T201 - the result


def _start(state: Path) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if not (state / "ledger.db").exists():
                migrate.migrate(state)
            code = 0
        finally:
            os._exit(code)
    return pid


def _wait(pid: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != 0:
        msg = f"a migration ended with {code}"
        raise AssertionError(msg)


def _kill(pid: int, seconds: float) -> bool:
    """Kill a process after a time; tell whether it was still there."""
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _reset(state: Path, pristine: Path) -> None:
    for name in ("ledger.db*", "runs.db*", "log-dirs"):
        for path in state.glob(name):
            path.unlink()
    shutil.copy(pristine, state / "runs.db")


def _whole(index: Path) -> Path:
    """Put what the write-ahead log has into the file."""
    with closing(sqlite3.connect(index)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return index


def _state_of(state: Path) -> str:
    with closing(sqlite3.connect(state / "runs.db")) as db:
        version = db.execute("pragma user_version").fetchone()[0]
    has_ledger = (state / "ledger.db").exists()
    if version == 2:
        return "two truths" if has_ledger else "not begun"
    if has_ledger:
        return "done"
    return "to be renamed" if (state / "ledger.db.new").exists() else "none"


def _integrity(state: Path) -> str:
    with closing(sqlite3.connect(state / "ledger.db")) as db:
        return str(db.execute("pragma integrity_check").fetchone()[0])


def _dump(state: Path) -> list[str]:
    with closing(sqlite3.connect(state / "ledger.db")) as db:
        return [*db.iterdump()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
