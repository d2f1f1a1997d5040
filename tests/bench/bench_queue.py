"""Measure the queue with 1,000 waiting prompts, without a history and with a long one.

    bin/bench queue [PROMPTS …]

The peer is the same ledger without the prompts that have ended: the ratios tell whether
a verb costs more the more there was. It is the CPU time of this process that counts.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from support import ledgers
from support.measure import show
from support.runs import AT, settings

from parsers.paths import Path as LightPath
from runner.clock import iso
from runner.ledger import edits
from runner.ledger.ledger import Ledger
from runner.ledger.prompts import PromptOptions
from runner.model import Outcome, Run, TaskState
from runner.service import queue

ENDED, SESSIONS, WAITING_EACH = (0, 99_000), 200, 5
ROUNDS = 40
# Sessions of five runs each.
_HISTORY = """
with n (i) as (select 1 union all select i + 1 from n limit {sessions})
insert into sessions (short_id, repo, created_at, updated_at)
    select printf('%08x', 0x10000000 + i), x'2f', '{at}', '{at}' from n;
with o (i) as (values (1), (2), (3), (4), (5))
insert into prompts (session, place, preview, state, reason, begun, attempts, queued_at,
    ended_at) select id, i, 'Prompt', 'done', 'succeeded', 1, 1, '{at}', '{at}'
    from sessions, o;
insert into runs (run_id, session, ordinal, prompt, state, outcome, directory, layout,
    begun, prepared_at, launched_at, ended_at) select printf('20261120-%09d', id),
    session, place, id, 'finished', 'succeeded', x'72', 3, 1, '{at}', '{at}', '{at}'
    from prompts
"""


def main() -> None:
    counts = (0, *map(int, sys.argv[1:])) if sys.argv[1:] else ENDED
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        columns = [measured(Path(name, str(count)), count) for count in counts]
        for each, count in zip(columns, counts, strict=True):
            for verb, seconds in each.items():
                what = f"{verb}, 1000 wait, {count} have ended"
                show(what, seconds, columns[0][verb] if count else None)


def measured(home: Path, ended: int) -> dict[str, float]:
    """Return the CPU seconds of each verb, after so many prompts."""
    with closing(Ledger(LightPath(str(home)))) as ledger:
        history = _HISTORY.format(sessions=ended // 5, at=iso(AT))
        ledger._db.executescript(f"begin;{history};commit")
        opened = ledgers.request()
        keys = [
            ledger.queue.open(opened, "x", AT, PromptOptions())[0]
            for _ in range(SESSIONS)
        ]
        for key in keys * (WAITING_EACH - 1):
            ledger.queue.add(key, b"Do it.", "Do it.", AT)
        edits.set_limits(ledger, "", {"slots": 4})
        for number in range(1, 4):
            ledgers.prepare(ledger, number)
        verbs: dict[str, Callable[[int], object]] = {
            "enqueue": lambda _: ledger.queue.add(keys[-1], b"Do it.", "Do it.", AT),
            "prepare": partial(deliver, ledger),
            "queue": lambda _: queue.waiting(ledger, None, settings(home)),
            "status": lambda _: ledger.queue.waiting(keys[0]),
            "next deadline": lambda _: ledger.value("next_deadline"),
            "ls --limit 20": lambda _: ledger.sessions.listed([*TaskState], 20),
            "ls --state RUNNING": lambda _: ledger.sessions.listed([TaskState.RUNNING]),
        }
        return {name: median(verb, ledger) for name, verb in verbs.items()}


def deliver(ledger: Ledger, number: int) -> Run:
    """Start a run for the best prompt, as the supervisor does that ends another one."""
    best = ledger.queue.candidates()[0]
    head = ledger.queue.head(best.session)
    assert head is not None
    more = {"prompt": head.text, "prompt_id": head.id}
    return ledgers.prepare(ledger, number, session=best.session, **more)


def median(verb: Callable[[int], object], ledger: Ledger) -> float:
    """Return the CPU seconds of a verb; what it has done is undone each time."""
    times = []
    for number in range(100, 100 + ROUNDS):
        before = time.process_time()
        done = verb(number)
        times.append(time.process_time() - before)
        if isinstance(done, int):
            edits.remove(ledger, done)
        elif isinstance(done, Run):
            killed = {"error_class": "killed"}
            ledgers.end(ledger, done, Outcome.NOT_STARTED, **killed)
    return statistics.median(times)


if __name__ == "__main__":
    main()
