"""The last answer of a session, whole, and never an older one in its place."""

from __future__ import annotations

from parsers.struct import Struct
from runner import files, session_files
from runner.errors import UsageError
from runner.exports import task_files
from runner.ledger import record
from runner.model import Outcome
from runner.succession import without_bystanders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Run
    from runner.service.sessions import Task
    from runner.session_files import SessionFiles


class Result(Struct):
    """Hold what a run has answered, None when it gave no answer.

    `earlier` is the last run before it that gave one.
    """

    run: Run
    answer: str | None
    earlier: Run | None = None

    @property
    def has_succeeded(self) -> bool:
        return self.run.outcome is Outcome.SUCCEEDED


def result_of(task: Task, state_home: Path, run_id: str | None = None) -> Result:
    """Return the answer of a session's last run, or of one of its runs.

    Raises:
        UsageError: the session has no such run.
    """
    runs = list(task.runs)
    if run_id is not None:
        ids = [run.run_id for run in runs]
        if run_id not in ids:
            message = f"--run {run_id}: task {task.id} has no such run"
            raise UsageError(message)
        runs = runs[: ids.index(run_id) + 1]  # type: ignore[arg-type] # a str too
    else:
        runs = list(without_bystanders(runs))
    *before, run = runs
    answered = (each for each in reversed(before) if each.has_answer)
    return Result(
        run=run,
        answer=answer_of(task, run, state_home),
        earlier=next(answered, None),
    )


def answer_of(task: Task, run: Run, state_home: Path) -> str | None:
    """Return what a run has answered, whole; None when that cannot be read."""
    answer = task_files.answer_of(run) or _kept(task.files, run)
    if answer is None and run.has_answer:
        # Its session may have been moved since it was looked at.
        run = session_files.located(state_home, run)
        paths = session_files.of_run(state_home, run) or task.files
        answer = task_files.answer_of(run) or _kept(paths, run)
    return answer


def _kept(paths: SessionFiles, run: Run) -> str | None:
    """Return the answer of a run that has lost its files, if it was the last one."""
    text = files.read_text(paths.result)
    is_its = record.checksum(text) == run.accounts.get("answer_checksum")
    return text if run.has_answer and is_its else None
