"""Puts sessions, runs and prompts on record as the commands do, without a process."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from support.runs import AT, SESSION, spec

from parsers.struct import Struct, replace
from runner import clock, locks
from runner.ledger.ledger import Ledger
from runner.model import (
    Claimed,
    CodexOptions,
    Ended,
    Launched,
    Mode,
    Outcome,
    Prepared,
    ProcessId,
    Run,
    RunId,
    RunRequest,
    SessionId,
    Spec,
    Verdict,
)
from runner.process.table import this_process
from runner.run_files import own_directory


def gone() -> ProcessId:
    """Name a process of this machine that has ended: none has begun so early."""
    return replace(this_process(), start_time=1)


def request(**changes: Any) -> RunRequest:  # noqa: ANN401  # any field of a request
    """Build the request for a run with some fields changed."""
    fields: dict[str, Any] = {
        "prompt": b"Do it.",
        "repo": "/repo",
        "cwd": "/work",
        "umask": 0o022,
        "codex": CodexOptions(bin="codex"),
        "codex_home": "/codex-home",
    }
    return RunRequest(**{**fields, **changes})


def run_id(number: int) -> RunId:
    """Name a run; a later number is a later time."""
    return RunId(f"20261120-10{number:04d}-512345-{number:08x}")


def prepare(ledger: Ledger, number: int = 1, **changes: Any) -> Run:  # noqa: ANN401  # as above
    """Put a run on record; changes are of fields of its request and of its spec."""
    asked = request(**_of(RunRequest, changes))
    named = changes.get("run_id", run_id(number))
    fields = {
        "run_id": named,
        "mode": Mode.NEW if asked.thread is None else Mode.RESUME,
        "resume_session": asked.thread,
        "directory": str(own_directory(ledger.home, named)),
        "is_flat": False,
        "prepared_at": AT + timedelta(seconds=number),
        "prompt_id": asked.prompt_id,
        **_of(Spec, changes),
    }
    ledger.queue.prepare(Run(spec=spec(**fields), state=Prepared()), asked)
    return ledger.runs.find(named)


def resume(ledger: Ledger, run: Run, number: int, **changes: Any) -> Run:  # noqa: ANN401  # as above
    """Put another run on record, on the session of a run."""
    session = ledger.sessions.get(run.session)
    return prepare(
        ledger, number, session=session.key, thread=session.thread, **changes
    )


def launch(ledger: Ledger, run: Run, *, is_alive: bool = False) -> Run:
    """Note that a supervisor has started Codex for a run.

    Both have ended since, or the supervisor is this process.
    """
    supervisor = this_process() if is_alive else gone()
    launching = ledger.runs.advance(run, Claimed(supervisor=supervisor))
    at = run.spec.prepared_at + timedelta(milliseconds=100)
    return ledger.runs.advance(launching, Launched(codex=gone(), at=at))


def name(ledger: Ledger, run: Run, thread: str = SESSION) -> Run:
    """Note the thread that Codex has announced."""
    exports = None if run.spec.is_flat else thread
    ledger.runs.set_thread(run, SessionId(thread), exports)
    return ledger.runs.find(run.run_id)


def over(
    run: Run,
    outcome: Outcome = Outcome.SUCCEEDED,
    *,
    error_class: str | None = None,
    error: str | None = None,
    has_begun: bool | None = None,
    **accounts: object,
) -> Run:
    """Build a run that has ended, without putting that on record."""
    code = 0 if outcome is Outcome.SUCCEEDED else 1
    verdict = Verdict(
        outcome=outcome, exit_code=code, error=error, error_class=error_class
    )
    begun = run.has_begun if has_begun is None else has_begun
    at = run.started_at + timedelta(seconds=5)
    ended = Ended(verdict=verdict, at=at, accounts=accounts)
    return replace(run, has_begun=begun).advanced(ended)


def end(
    ledger: Ledger,
    run: Run,
    outcome: Outcome = Outcome.SUCCEEDED,
    **changes: Any,  # noqa: ANN401  # as `over`
) -> Run:
    """Put the end of a run on record, and give the run as the ledger has it."""
    now = ledger.runs.find(run.run_id)
    ledger.runs.finish(now, over(now, outcome, **changes))
    return ledger.runs.find(run.run_id)


def session_of(
    ledger: Ledger,
    outcome: Outcome = Outcome.SUCCEEDED,
    *,
    thread: str = SESSION,
    number: int = 1,
    accounts: dict[str, object] | None = None,
    **changes: Any,  # noqa: ANN401  # as `prepare`
) -> Run:
    """Put a session on record whose first run has ended, and give that run."""
    run = name(ledger, launch(ledger, prepare(ledger, number, **changes)), thread)
    return end(ledger, run, outcome, has_begun=True, **(accounts or {}))


def queue(ledger: Ledger, session: int, text: str = "More.") -> int:
    """Queue a prompt for a session."""
    return ledger.queue.add(session, text.encode(), text, AT)


def wake(ledger: Ledger, prompt: int, why: str, until: str) -> None:
    """Let a prompt wait until a time, as one does that was put back."""
    execute(
        ledger,
        "update prompts set wake_at = ?, wake_why = ?, wake_from = queued_at"
        " where id = ?",
        *(until, why, prompt),
    )


def execute(ledger: Ledger, sql: str, *values: str | int | None) -> None:
    """Change the ledger as no verb does."""
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute(sql, values)


def touch(path: Path, *, hours: int) -> None:
    """Let a file or directory have been changed so many hours from now."""
    at = clock.now().timestamp() + hours * 3600
    os.utime(path, (at, at))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, as the process does that owns a run."""
    held = locks.take(path)
    assert held is not None
    try:
        yield
    finally:
        os.close(held)


def row(ledger: Ledger, prompt: int) -> dict[str, Any]:
    """Give the row of a prompt."""
    query = "select * from prompts where id = ?"
    return dict(ledger._db.execute(query, (prompt,)).fetchone())


def _of(kind: type[Struct], changes: dict[str, Any]) -> dict[str, Any]:
    known = kind.field_names()
    return {name: value for name, value in changes.items() if name in known}
