"""`codex-tasks result`."""

from __future__ import annotations

from runner.cli.output import is_terminal, visible
from runner.errors import SessionBusyError
from runner.service.lookup import get
from runner.service.result import result_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from runner.cli.context import Context
    from runner.service.result import Result

HELP = """\
Print the last answer of a task, whole; the exit code tells the outcome.

--run RUN   the answer of this run
TASK        the task; a run id is the answer of that run

  codex-tasks status --wait 01a1f0 > /dev/null; codex-tasks result 01a1f0
  answer=$(codex-tasks result 01a1f0) || echo "no answer"
  codex-tasks result --run 20261120-101201-512345-9f3a1c07 01a1f0
"""


def main(found: Namespace, context: Context) -> int:
    """Print an answer; an answer of an earlier run is never printed in its place."""
    context.sweep()
    with context.ledger.snapshot():
        task = get(context.session(found.task).key, context.ledger)
    named = found.task.strip()
    is_run = any(run.run_id == named for run in task.runs)
    wanted = found.run or (named if is_run else None)
    result = result_of(task, context.settings.state_home, wanted)
    if not result.run.is_finished:
        fix = "codex-tasks status --wait waits for its end"
        raise SessionBusyError(task.name, result.run.run_id, fix)
    if result.answer is not None:
        # A terminal would obey what the model has written; a program has it as it is.
        show = visible if is_terminal() else str
        context.output.lines([show(result.answer)])
    if result.run.has_succeeded and result.answer is not None:
        return 0
    context.note(_explanation(result))
    has_lost_it = result.run.has_answer and result.answer is None
    return 0 if result.run.has_succeeded and not has_lost_it else 1


def _explanation(result: Result) -> str:
    run, verdict = result.run, result.run.verdict
    said = f": {verdict.error}" if verdict and verdict.error else ""
    text = f"run {run.run_id} {verdict.outcome if verdict else ''}{said}"
    if result.answer is None:
        gone = "its answer cannot be read: the events of the run are gone"
        text += f"; {gone if run.has_answer else 'it gave no answer'}"
        if result.earlier is not None:
            text += f" (run {result.earlier.run_id} before it did: --run shows it)"
    return text
