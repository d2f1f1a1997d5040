"""`codex-tasks stop`."""

from __future__ import annotations

from runner.cli import format
from runner.errors import UsageError
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
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="all that are running")
    add(
        "--gone",
        action="store_true",
        help="the machine or container that a task runs on is gone for good",
    )
    add("task", metavar="TASK", nargs="*", help="the tasks")


def main(found: Namespace, context: Context) -> int:
    """Stop tasks, all at once; what became of each is said at the end."""
    if found.all and found.task:
        message = "tasks by name and -a: one of them at a time"
        raise UsageError(message)
    if not (found.all or found.task):
        message = "name the tasks to stop, or all that are running with -a"
        raise UsageError(message)
    if found.gone and not found.task:
        message = "--gone goes with tasks by name"
        raise UsageError(message)
    ledger = context.ledger
    if found.all:
        keys = ledger.queue.to_stop()
    else:
        keys = [session.key for session in context.sessions(found.task)]
    stopped = stop.stop_sessions(keys, ledger, context.settings, is_gone=found.gone)
    for each in stopped:
        context.notes(each.notes)
        if each.error is not None:
            context.note(f"{each.name}: {each.error}")
    lines = [_line(each) for each in stopped if each.error is None]
    context.output.lines(lines if keys else ["No running tasks to stop."])
    errors = (each.error.exit_code for each in stopped if each.error is not None)
    return max(errors, default=0)


def _line(stopped: stop.Stopped) -> str:
    has_ended = stopped.runs or stopped.left
    what = "stopped." if has_ended else "is not running; nothing to stop."
    skipped = ""
    if stopped.canceled:
        skipped = f" {format.count(stopped.canceled, 'waiting prompt')} skipped."
    return f"Task {stopped.name} {what}{skipped}"
