"""The last answer of a session in full; never an earlier answer in its place."""

from __future__ import annotations

from parsers.struct import Struct
from runner.errors import UsageError
from runner.exports.task_files import answer_of, files_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ledger.ledger import Ledger
    from runner.model import Run
    from runner.service.lookup import Task


class Result(Struct):
    """Hold the answer of a run, None when there is none.

    `earlier` is the last run before it that has an answer.
    """

    run: Run
    answer: str | None
    earlier: Run | None = None


def result_of(task: Task, ledger: Ledger, run_id: str | None = None) -> Result:
    """Return the answer of a session's last run, or of one of its runs.

    Raises:
        UsageError: the session has no such run.
    """
    key, run = task.session.key, task.last
    if run_id is not None:
        if run_id not in ledger.runs.ids(key):
            message = f"--run {run_id}: task {task.name} has no such run"
            raise UsageError(message)
        run = ledger.runs.find(run_id)
    elif run.waits and task.over is not None and not task.over.waits:
        run = task.over
    earlier = ledger.runs.latest(key, "answered", before=run.ordinal)
    answer = answer_of(run, files_in(task.session, ledger.home))
    return Result(run=run, answer=answer, earlier=earlier)
