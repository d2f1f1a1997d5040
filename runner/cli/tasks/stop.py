"""`codex-tasks stop`."""

from __future__ import annotations

from runner.cli import format
from runner.cli.parser import check_named, refuse
from runner.service import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from runner.cli.context import Context

HELP = """\
Stop tasks, with everything that they have started, other tasks too.

-a, --all   all that are running
--gone      the machine or container that a task runs on is gone for good
TASK ...    the tasks

  codex-tasks stop 01a1f0
  codex-tasks stop -a
"""


def main(found: Namespace, context: Context) -> int:
    """Stop tasks, all at once; what became of each is said at the end."""
    check_named(found, "to stop, or all that are running with -a")
    refuse((found.gone and not found.task, "--gone goes with tasks by name"))
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
    what = "stopped." if stopped.has_ended else "is not running; nothing to stop."
    skipped = ""
    if stopped.canceled:
        skipped = f" {format.count(stopped.canceled, 'waiting prompt')} skipped."
    return f"Task {stopped.name} {what}{skipped}"
