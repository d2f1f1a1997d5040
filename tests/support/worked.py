"""Runs that have ended, with all the files that they leave, without a process."""

import json
from pathlib import Path
from typing import Any

from support import ledgers
from support.runs import SESSION

from runner import files
from runner.config import Config
from runner.exports import queue_files, task_files
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.lifecycle.launch import PreparedRun, prepare_run
from runner.model import CodexOptions, Outcome, Run
from runner.run_files import files_of

FIRST, OTHER = SESSION, SESSION[:-1] + "9"
ANSWER = "It is done."


def prepare(ledger: Ledger, settings: Config, **changes: Any) -> PreparedRun:  # noqa: ANN401  # any field of a request
    """Put a run on record as a command does, with its files and its locks."""
    place = str(settings.state_home.parent)
    usual = {"repo": place, "cwd": place, "codex_home": str(settings.codex_home)}
    return prepare_run(ledgers.request(**{**usual, **changes}), ledger, settings)


def work(
    ledger: Ledger,
    settings: Config,
    thread: str = FIRST,
    *,
    outcome: Outcome = Outcome.SUCCEEDED,
    answer: str = ANSWER,
    **changes: Any,  # noqa: ANN401  # any field of a request
) -> Run:
    """Let a run work on a thread and end, and write all its files."""
    key = ledger.sessions.of_thread(thread)
    known = {} if key is None else {"session": key, "thread": thread}
    prepared = prepare(ledger, settings, **{**known, **changes})
    run = ledgers.launch(ledger, ledger.runs.find(prepared.run.run_id))
    write_events(run, thread, answer)
    ledgers.name(ledger, run, thread)
    ledger.runs.begin_turn(run.run_id)
    said = {"has_answer": True, "answer_checksum": record.checksum(answer)}
    ended = ledgers.end(ledger, run, outcome, has_begun=True, **said)
    task_files.write_abandoned(ended, ledger)
    prepared.close()
    return ended


def write_events(run: Run, thread: str, answer: str) -> None:
    item = {"id": "item_0", "type": "agent_message", "text": answer}
    events = (
        {"type": "thread.started", "thread_id": thread},
        {"type": "turn.started"},
        {"type": "item.completed", "item": item},
        {"type": "turn.completed", "usage": {"input_tokens": 5, "output_tokens": 1}},
    )
    for event in events:
        files.append(files_of(run.spec).events, json.dumps(event).encode() + b"\n")


def queue(ledger: Ledger, session: int, text: str) -> int:
    """Queue a prompt as `send --queue` does, with its file."""
    number = ledgers.queue(ledger, session, text)
    queue_files.refresh(ledger, session, [number])
    return number


def exports(ledger: Ledger, thread: str = FIRST) -> Path:
    """Name the directory of the exports of a session."""
    (session,) = ledger.sessions.named(thread)
    place = session.exports_in(ledger.home)
    assert place is not None
    return place


OPTIONS = CodexOptions(bin="codex", sandbox="read-only", overrides=("a=1",))
