"""Which run had a thread before another one, and what each has used of it."""

import json
from datetime import timedelta
from pathlib import Path

from support.runs import AT, PROCESS, SESSION, run, settings

from parsers.struct import replace
from runner.accounting.run import account_run
from runner.clock import iso
from runner.ledger.ledger import Ledger
from runner.model import (
    Finished,
    Mode,
    Outcome,
    Run,
    RunId,
    Running,
    SessionId,
    State,
    Verdict,
)

OTHER = SESSION[:-1] + "9"


def over(minute: int, *, launched: bool = True, used: int | None = None) -> Finished:
    at = AT + timedelta(minutes=minute)
    accounts = {} if used is None else {"thread_usage": {"input_tokens": used}}
    return Finished(
        verdict=Verdict(outcome=Outcome.SUCCEEDED, exit_code=0),
        started_at=at if launched else None,
        ended_at=at + timedelta(seconds=30),
        accounts=accounts,
    )


def running(minute: int) -> Running:
    at = AT + timedelta(minutes=minute)
    return Running(supervisor=PROCESS, codex=PROCESS, started_at=at)


class Thread:
    """A session in the ledger, with its runs in the order in which they are added."""

    def __init__(self, ledger: Ledger, directory: Path, thread: str = SESSION) -> None:
        self._ledger = ledger
        self._directory = directory
        self._thread = SessionId(thread)
        with ledger.transaction():
            self._key = ledger.sessions.open(iso(AT), thread=thread)

    def add(self, number: int, state: State) -> Run:
        run_id = RunId(f"{self._thread[-1]}-{number}")
        resumes = {"mode": Mode.RESUME, "resume_session": self._thread}
        added = run(
            state,
            run_id=run_id,
            directory=str(self._directory),
            **(resumes if number > 1 else {}),
        )
        with self._ledger.transaction():
            self._ledger.runs.insert(
                replace(added, session=self._key, thread=self._thread)
            )
        return self._ledger.runs.find(run_id)


def test_the_run_before_is_the_last_launched_one_of_the_same_session(
    ledger: Ledger, tmp_path: Path
) -> None:
    thread, other = Thread(ledger, tmp_path), Thread(ledger, tmp_path, OTHER)
    first = thread.add(1, over(1))
    thread.add(2, over(2, launched=False))
    other.add(1, over(3))
    third = thread.add(3, over(4))
    fourth = thread.add(4, running(5))

    before = [ledger.runs.previous(each) for each in (first, third, fourth)]

    assert [each and each.run_id for each in before] == [
        None,
        first.run_id,
        third.run_id,
    ]
    assert ledger.runs.next_launch(first) == third.launched_at
    assert ledger.runs.next_launch(fourth) is None


def test_a_run_has_used_what_its_thread_has_more_than_before_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    thread = Thread(ledger, tmp_path)
    thread.add(1, over(1, used=100))
    second = thread.add(2, over(2, used=160))
    thread.add(3, over(3, used=1000))
    said = [
        {"type": "thread.started", "thread_id": SESSION},
        {"type": "turn.started"},
        {"type": "turn.completed", "usage": {"input_tokens": 160, "output_tokens": 0}},
    ]
    events = tmp_path / f"codex-run-{second.run_id}.events.jsonl"
    events.write_text("".join(f"{json.dumps(each)}\n" for each in said))

    counted = account_run(second, ledger, settings(tmp_path))

    assert counted.usage["input_tokens"] == 60
