"""The last answer of a session in full; never an earlier answer in its place."""

from __future__ import annotations

from parsers.struct import Struct
from runner.errors import UsageError
from runner.exports.task_files import answer_of, files_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Run
    from runner.service.lookup import Task


class Result(Struct):
    """Hold the answer of a run, None when there is none.

    `earlier` is the last run before it that has an answer.
    """

    run: Run
    answer: str | None
    earlier: Run | None = None


def result_of(task: Task, state_home: Path, run_id: str | None = None) -> Result:
    """Return the answer of a session's last run, or of one of its runs.

    Raises:
        UsageError: the session has no such run.
    """
    runs = list(task.own_runs if run_id is None else task.runs)
    while runs and run_id not in {None, runs[-1].run_id}:
        runs.pop()
    if not runs:
        message = f"--run {run_id}: task {task.name} has no such run"
        raise UsageError(message)
    *before, run = runs
    answered = (each for each in reversed(before) if each.has_answer)
    answer = answer_of(run, files_in(task.session, state_home))
    return Result(run=run, answer=answer, earlier=next(answered, None))
