"""Kills repairs of a lost ledger at random calls; compares what the next one makes.

    python kill_repairs.py PLACE ROUNDS SEED

PLACE is an empty directory. It prints a line of JSON: `kills` is how many there were,
and `bad` what must not be. Each repair is a fork.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

from support import worked
from support.runs import settings
from support.worked import OTHER

from runner.config import Config
from runner.errors import LedgerFault
from runner.exports import queue_files
from runner.ledger.database import NAME
from runner.ledger.ledger import Ledger
from runner.service.verify import verify

# The part of the repairs that no kill reaches.
_WHOLE = 0.3
_QUERIES = (
    "select short_id, thread_id, title, exports, archived_at from sessions order by 1",
    "select run_id, session, ordinal, state, outcome, launched_at from runs order by 1",
    "select id, text, state, run_id, reason from prompts order by 1",
    "select run_id, model, total from usage order by 1",
)


def main(place: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same kills every time
    told = settings(place, CODEX_RUNNER_HOME=str(place / "state"))
    home, pristine = told.state_home, place / "pristine"
    _make(told)
    shutil.copytree(home, pristine)
    total = _calls(told)
    reference, kills, bad = _dump(home), 0, list[str]()
    for number in range(rounds):
        shutil.rmtree(home)
        shutil.copytree(pristine, home)
        while _is_killed(told, chance.randrange(1, int(total / (1 - _WHOLE)))):
            kills += 1
            with contextlib.suppress(LedgerFault):
                if not Ledger(home).sessions.all():
                    bad.append(f"{number}: an empty ledger")
        if found := verify(told).differences:
            bad.append(f"{number}: {found}")
        if _dump(home) != reference:
            bad.append(f"{number}: the ledger differs")
        if [*home.glob(".*.tmp"), *home.glob(f"{NAME}.rebuilt*")]:
            bad.append(f"{number}: it left files")
    print(json.dumps({"kills": kills, "bad": bad}))  # noqa: T201 - the result


def _make(told: Config) -> None:
    """Make a state directory that has gone on since its backup, with a lost ledger."""
    ledger = Ledger(told.state_home)
    first = worked.work(ledger, told, title="first")
    logs = str(told.state_home.parent / "logs")
    worked.work(ledger, told, OTHER, log_dir=logs)
    prompts = [worked.queue(ledger, first.session, text) for text in ("1", "2")]
    ledger.back_up_daily()
    worked.work(ledger, told, prompt=b"1", prompt_id=prompts[0])
    queue_files.refresh(ledger, first.session, prompts)
    worked.work(ledger, told, OTHER[:-1] + "7", log_dir=logs)
    worked.queue(ledger, first.session, "3")
    ledger.close()
    (told.state_home / NAME).write_bytes(b"garbage " * 4096)


def _calls(told: Config) -> int:
    """Repair, and count the function calls."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    verify(told, is_repairing=True)
    sys.setprofile(None)
    return calls


def _is_killed(told: Config, last: int) -> bool:
    """Repair in a process that is killed at a call."""
    if (pid := os.fork()) == 0:
        calls, code = 0, 1

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.setprofile(count)
            verify(told, is_repairing=True)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in {0, -signal.SIGKILL}:
        msg = f"a repair ended with {code}"
        raise AssertionError(msg)
    return code != 0


def _dump(home: Path) -> list[list[object]]:
    with contextlib.closing(sqlite3.connect(home / NAME)) as db:
        return [db.execute(query).fetchall() for query in _QUERIES]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
