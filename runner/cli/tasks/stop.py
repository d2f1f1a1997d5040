"""`codex-tasks stop`."""

from __future__ import annotations

from runner.cli import format
from runner.errors import RunnerError, UsageError
from runner.service import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = "Stop tasks, with everything that they have started, other tasks too."
EXAMPLES = """\
  codex-tasks stop 01a1f0
  codex-tasks stop -a
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("-a", "--all", action="store_true", help="all that are running")
    parser.add_argument("task", metavar="TASK", nargs="*", help="the tasks")


def main(found: Namespace, house: Context) -> int:
    """Stop tasks; what became of each is told when all have been dealt with."""
    if found.all and found.task:
        message = "tasks by name and -a: one of them at a time"
        raise UsageError(message)
    if not (found.all or found.task):
        message = "name the tasks to stop, or all that are running with -a"
        raise UsageError(message)
    if found.all:
        ids = stop.at_work(house.ledger)
    else:
        ids = [row.session_id for row in house.rows(found.task)]
    told = [_stop(session_id, house) for session_id in ids]
    # Not before: a reader that is gone must not keep the others running.
    lines = [line for line, _ in told if line is not None]
    house.output.lines(lines if ids else ["No running tasks to stop."])
    return max((code for _, code in told), default=0)


def _stop(session_id: str, house: Context) -> tuple[str | None, int]:
    try:
        stopped = stop.stop_session(session_id, house.ledger, house.settings)
    except RunnerError as error:
        house.note(f"{session_id}: {error}")
        return None, error.exit_code
    what = "stopped." if stopped.runs else "is not running; nothing to stop."
    skipped = f" {format.count(stopped.skipped, 'waiting prompt')} skipped."
    line = f"Task {stopped.session_id} {what}{skipped if stopped.skipped else ''}"
    return line, 0
