"""What is to be said of a session, and waiting until there is nothing more to come."""

from __future__ import annotations

from pathlib import Path

from parsers import loose_json
from parsers.accounting.tokens import SUMMED
from parsers.struct import Struct
from runner import clock
from runner.codex.home import writer_of
from runner.errors import NoSuchTaskError, RunnerError, WaitTimeoutError
from runner.ledger.usage import UsageTotal, rows_of
from runner.lifecycle.recover import sweep
from runner.model import ProcessId, Running, TaskState
from runner.process.table import here, is_alive
from runner.service.result import answer_in
from runner.service.sessions import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.config import Config
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.ledger.queue import Prompt
    from runner.ledger.sessions import Session
    from runner.model import Run
    from runner.service.sessions import Task

Json = dict[str, object]

_TOTAL_TOKENS = 1 + SUMMED.index("total_tokens")
_PACE_SECONDS = 0.05
# The ledger tells when something has been written; a supervisor that was killed writes
# nothing.
_SWEEP_SECONDS = 1.0


class Mark(Struct, kw_only=False):
    """Hold from which run on a session is waited for, by its place among the runs."""

    session: int
    ordinal: int


def report(task: Task, ledger: Ledger, settings: Config, unknown: str | None) -> Json:
    """Say what is known of a session.

    `last_result` is what the last run that is over has answered, null when it gave no
    answer; the one before it is `previous_result` then. Prompts are previews.
    """
    session, last, pattern = task.session, task.last, task.settings_source
    verdict, exports = last.verdict, session.exports_in(settings.state_home)
    held = next(iter(task.prompts), None)
    return {
        "id": session.name,
        "short_id": session.short_id,
        "title": session.title,
        "state": session.state,
        "outcome": last.outcome,
        "error": verdict.error if verdict else None,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "working_dir": pattern.spec.repo or None,
        "directory": str(exports) if exports else None,
        "model": _model(pattern),
        "sandbox": pattern.spec.codex.sandbox,
        "pid": last.state.codex.pid if isinstance(last.state, Running) else None,
        "last_run": last.run_id,
        "runs": len(task.runs),
        "queue": len(task.prompts),
        "queue_held": _held(held),
        "prompts": [
            {
                "id": prompt.id,
                "prompt": prompt.preview,
                "why": prompt.word,
                "until": prompt.until,
                "detail": prompt.detail,
            }
            for prompt in task.prompts
        ],
        "unknown": unknown,
        "other_writer": _other_writer(session, ledger, settings),
        "left_running": _left_running(task.runs),
        "skipped": ledger.queue.canceled(session.key),
        "last_prompt": last.spec.task,
        **_answers(task, settings.state_home),
        **_consumed(task, ledger, settings),
    }


def mark(key: int, ledger: Ledger) -> Mark:
    """Note from which run on a session is waited for.

    That is the oldest that is not over, else the last one.

    Raises:
        RunnerError: it cannot be read.
    """
    unfinished = ledger.runs.unfinished(key)
    last = ledger.sessions.get(key).last_run
    run = unfinished[0] if unfinished else ledger.runs.find(last or "")
    return Mark(key, run.ordinal)


def wait(
    marks: Sequence[Mark],
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
    *,
    for_any: bool = False,
    timeout: float | None = None,
) -> dict[int, bool]:
    """Wait until sessions no longer run; tell which of them have succeeded.

    That is found out as soon as one is idle: another command may resume it while others
    are waited for. One that something is wrong with holds up no other.

    Args:
        marks: the sessions, each with the run from which on it is waited for.
        ledger: the ledger.
        settings: for judging what was left behind.
        warn: is called once for each prompt that only time or a person can release.
        for_any: return as soon as one of them is idle; tell only of those that are.
        timeout: how long at the most, in seconds; None is without limit.

    Raises:
        WaitTimeoutError: the time is up.
    """
    began = looked = clock.monotonic()
    version, ends, told = -1, dict[int, bool](), set[str]()
    while True:
        written, now = ledger.version(), clock.monotonic()
        running = [each for each in marks if each.session not in ends]
        if written != version or now - looked >= _SWEEP_SECONDS:
            version, looked = written, now
            sweep(ledger, settings)
            for each in running:
                if (end := _end_of(each, ledger)) is not None:
                    ends[each.session] = end
                else:
                    _say_why(each.session, ledger, warn, told)
            if len(ends) == len(marks) or (for_any and ends):
                return ends
        if timeout is not None and now - began >= timeout:
            left = [each.session for each in running if each.session not in ends]
            names = ", ".join(ledger.sessions.get(key).name for key in left)
            message = f"after {timeout:g} s still running: {names}"
            raise WaitTimeoutError(message)
        clock.sleep(_PACE_SECONDS)


def _end_of(mark: Mark, ledger: Ledger) -> bool | None:
    """Tell whether an idle session has succeeded; None while it runs.

    All runs from the mark on must have done what they were asked for. One that gave up
    waiting for its turn is not the session's failure.
    """
    try:
        with ledger.snapshot():
            task = get(mark.session, ledger)
    except NoSuchTaskError:
        return False
    except RunnerError:
        return False
    if task.session.state is TaskState.RUNNING:
        return None
    awaited = [run for run in task.own_runs if run.ordinal >= mark.ordinal]
    has_failed = any(not run.has_succeeded for run in awaited)
    return bool(awaited) and not (task.prompts or has_failed)


def _say_why(
    key: int, ledger: Ledger, warn: Callable[[str], None], told: set[str]
) -> None:
    """Say once why a session goes on waiting although nothing of it runs."""
    prompt = ledger.queue.head(key)
    if prompt is None or prompt.word in {None, "session"}:
        return
    until = f" until {prompt.until}" if prompt.until else ""
    text = f"{ledger.sessions.get(key).name}: its next prompt waits{until}"
    text += f" ({prompt.detail or prompt.word})"
    if text not in told:
        told.add(text)
        warn(text)


def _held(prompt: Prompt | None) -> str | None:
    """Say why the first prompt is not delivered by itself; None when it will be."""
    if prompt is None or prompt.word in {None, "session"}:
        return None
    return prompt.detail or prompt.word


def _other_writer(session: Session, ledger: Ledger, settings: Config) -> Json | None:
    """Name the process of another program that writes the thread."""
    if session.thread is None or ledger.queue.holder(session.key) is not None:
        return None
    home = Path(session.home) if session.home else settings.codex_home
    pid = writer_of(home, session.thread)
    return None if pid is None else {"pid": pid or None}


def _model(run: Run) -> object:
    return run.accounts.get("model") or run.spec.codex.model


def _left_running(runs: Sequence[Run]) -> list[Json]:
    """Name the processes that runs have left, and that still live."""
    found: list[Json] = []
    for run in runs:
        left = run.accounts.get("left_running")
        for each in left if isinstance(left, list) else ():
            told = loose_json.mapping(each)
            pid = loose_json.integer(told.get("pid"))
            started = loose_json.integer(told.get("start_time"))
            if pid is None or started is None:
                continue
            if is_alive(ProcessId(pid=pid, start_time=started, **here())):
                found.append({"pid": pid, "name": told.get("name"), "run": run.run_id})
    return found


def _answers(task: Task, state_home: Path) -> Json:
    over = [run for run in task.own_runs if run.is_finished]
    answered = [run for run in over if run.has_answer]
    is_new = bool(answered) and answered[-1] is over[-1]
    text = answer_in(task, answered[-1], state_home) if answered else None
    previous = None
    if answered and not is_new:
        previous = {"run": answered[-1].run_id, "text": text}
    return {"last_result": text if is_new else None, "previous_result": previous}


def _consumed(task: Task, ledger: Ledger, settings: Config) -> Json:
    """Add up what the runs have used and cost, of a living one what is known so far."""
    living = None if task.last.is_finished else task.last
    rows = ledger.usage.totals("session", name=task.name)
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
    from runner.accounting.run import account_run  # noqa: PLC0415 - 40 ms, if one lives

    try:
        counted = account_run(run, ledger, settings)
    except RunnerError:
        return []
    found = rows_of(counted.to_json(), run.spec.codex.model)
    return [_total(run.run_id, row) for row in found if row[_TOTAL_TOKENS] is not None]


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
