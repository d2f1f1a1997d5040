"""What is to be said of a session, and waiting until there is nothing more to come."""

from __future__ import annotations

import contextlib

from parsers.accounting.tokens import SUMMED
from runner import clock, files, session_files
from runner.errors import RunnerError, WaitTimeoutError
from runner.ledger import record
from runner.ledger.usage import UsageTotal, rows_of, totals
from runner.lifecycle.recover import reconcile_run
from runner.model import Outcome, Running
from runner.service import sessions
from runner.succession import pattern_of, without_bystanders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from runner.config import Config
    from runner.ledger.database import Cell
    from runner.ledger.runs import Ledger
    from runner.model import Run
    from runner.service.sessions import Task

Json = dict[str, object]

_TOTAL_TOKENS = 1 + SUMMED.index("total_tokens")
_PACE_SECONDS = 0.05
# The index tells when something has been written; a supervisor that was killed writes
# nothing.
_LOOK_SECONDS = 1.0


def report(task: Task, ledger: Ledger, settings: Config) -> Json:
    """Say what is known of a session.

    `last_result` is what the last run that is over has answered, null when it gave no
    answer; the one before it is `previous_result` then. Prompts are previews.
    """
    row, last, pattern = task.row, task.last, pattern_of(task.runs)
    answers = _answers(task, settings.state_home)
    return {
        "id": row.session_id,
        "title": row.title,
        "state": task.state,
        "outcome": last.outcome,
        "error": last.verdict.error if last.verdict else None,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "working_dir": pattern.spec.repo,
        "directory": str(task.files.directory),
        "model": record.to_json(pattern)["model"],
        "sandbox": pattern.spec.codex.sandbox,
        "pid": last.state.codex.pid if isinstance(last.state, Running) else None,
        "last_run": last.run_id,
        "runs": len(task.runs),
        "queue": task.waiting,
        "queue_held": task.hold,
        "skipped": ledger.mail.skipped(row.session_id),
        "last_prompt": last.spec.task,
        **answers,
        **_consumed(task, ledger, settings),
    }


def mark(ids: Iterable[str], ledger: Ledger) -> dict[str, str]:
    """Note for each session from which run on it is waited for.

    The oldest that is not over, else the last one; none for one that cannot be read.
    """
    marks: dict[str, str] = {}
    for session_id in ids:
        with contextlib.suppress(RunnerError):
            unfinished = [run.run_id for run in ledger.unfinished_of(session_id)]
            row = ledger.sessions.of(session_id)
            if mark := next(iter(unfinished), row and row.last_run):
                marks[session_id] = mark
    return marks


def wait(
    marks: Mapping[str, str],
    ledger: Ledger,
    settings: Config,
    *,
    for_any: bool = False,
    timeout: float | None = None,
) -> dict[str, bool]:
    """Wait until sessions are no longer at work; tell which of them have succeeded.

    That is found out as soon as one is at rest: somebody may carry it on while others
    are waited for. One that something is wrong with holds up no other: its report tells
    what.

    Args:
        marks: the sessions, each with the run from which on it is waited for.
        ledger: the index.
        settings: for judging what was left behind.
        for_any: return as soon as one of them is at rest; tell only of those that are.
        timeout: how long at the most, in seconds; None is without limit.

    Raises:
        WaitTimeoutError: the time is up.
    """
    began = looked = clock.monotonic()
    version, ends = -1, dict[str, bool]()
    while True:
        written, now = ledger.database.version(), clock.monotonic()
        running = [each for each in marks if each not in ends]
        if written != version or now - looked >= _LOOK_SECONDS:
            version, looked = written, now
            for each in running:
                if (end := _end_of(each, marks[each], ledger, settings)) is not None:
                    ends[each] = end
            if len(ends) == len(marks) or (for_any and ends):
                return ends
        if timeout is not None and now - began >= timeout:
            left = ", ".join(each for each in running if each not in ends)
            message = f"after {timeout:g} s still running: {left}"
            raise WaitTimeoutError(message)
        clock.sleep(_PACE_SECONDS)


def _end_of(
    session_id: str, since: str, ledger: Ledger, settings: Config
) -> bool | None:
    """Tell whether a session that is at rest has succeeded; None when it is at work."""
    try:
        row = ledger.sessions.of(session_id)
        if row is not None and sessions.is_at_work(session_id, ledger, settings):
            return None
        return _has_succeeded(session_id, since, ledger, settings)
    except RunnerError:
        return False


def _has_succeeded(
    session_id: str, since: str, ledger: Ledger, settings: Config
) -> bool:
    """Tell whether all runs of a session, from one on, did what they were asked for.

    One that gave up waiting for the session is not the session's failure; one that is
    not over has begun since the session was found at rest.
    """
    # Before the runs: what has left the mailbox by then is seen among them.
    is_left = bool(ledger.mail.waiting(session_id))
    runs = (run for run in ledger.of_session(session_id) if run.run_id >= since)
    settled = (reconcile_run(run, ledger, settings) for run in runs)
    awaited = without_bystanders([run for run in settled if run.is_finished])
    has_failed = any(run.outcome is not Outcome.SUCCEEDED for run in awaited)
    return bool(awaited) and not (is_left or has_failed)


def _answers(task: Task, state_home: Path) -> Json:
    over = [run for run in without_bystanders(task.runs) if run.is_finished]
    answered = [run for run in over if run.has_answer]
    is_new = bool(answered) and answered[-1] is over[-1]
    text = _answer(task, answered[-1], state_home) if answered else None
    previous = None
    if answered and not is_new:
        previous = {"run": answered[-1].run_id, "text": text}
    return {"last_result": text if is_new else None, "previous_result": previous}


def _answer(task: Task, run: Run, state_home: Path) -> str | None:
    """Return what a run has answered; mostly it lies ready in a file."""
    text = files.read_text(task.files.result)
    if record.checksum(text) == run.accounts.get("answer_checksum"):
        return text
    from runner.service import result  # noqa: PLC0415 - the parsers, without a file

    return result.answer_of(task, run, state_home)


def _consumed(task: Task, ledger: Ledger, settings: Config) -> Json:
    """Add up what the runs have used and cost, of a living one what is known so far."""
    living = None if task.last.is_finished else task.last
    rows = totals(
        ledger.database,
        "session",
        session_id=task.id,
        # It may be over, and counted, since it was looked at.
        without=None if living is None else living.run_id,
    )
    if living is not None:
        rows += _so_far(living, ledger, settings)
    tokens = {name: sum(getattr(row, name) for row in rows) for name in SUMMED}
    runs = sum(row.runs for row in rows)
    unknown_usage = sum(row.unknown_usage for row in rows)
    unknown_parts = sum(row.unknown_parts for row in rows)
    unknown_cost = sum(row.unknown_cost for row in rows)
    known = {
        name: runs > (unknown_usage if name == "total_tokens" else unknown_parts)
        for name in SUMMED
    }
    return {
        "usage": {
            **{name: tokens[name] if known[name] else None for name in SUMMED},
            "unknown_runs": unknown_usage,
            "unknown_parts": unknown_parts,
        },
        "cost": {
            "usd": sum(row.usd for row in rows) if runs > unknown_cost else None,
            "unknown_runs": unknown_cost,
        },
    }


def _so_far(run: Run, ledger: Ledger, settings: Config) -> list[UsageTotal]:
    """Count what a living run has used; before its first answer that is nothing."""
    from runner.accounting.run import account_run  # noqa: PLC0415 - 40 ms, for living runs only

    try:
        kept = account_run(run, ledger, settings)
        now = session_files.located(settings.state_home, run)
        if now.spec.log_dir != run.spec.log_dir:
            # Codex has named its session meanwhile.
            kept = account_run(now, ledger, settings)
    except RunnerError:
        return []
    found = rows_of(kept.to_json(), run.spec.codex.model)
    return [_total(run.key, row) for row in found if row[_TOTAL_TOKENS] is not None]


def _total(key: str, row: Sequence[Cell]) -> UsageTotal:
    _, *figures, usd = row
    tokens = {n: int(f or 0) for n, f in zip(SUMMED, figures, strict=True)}
    return UsageTotal(
        key=key,
        runs=1,
        **tokens,
        usd=float(usd or 0),
        unknown_usage=0,
        unknown_cost=int(usd is None),
        unknown_parts=int(figures[0] is None),
    )
