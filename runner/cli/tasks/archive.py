"""`codex-tasks archive`."""

from __future__ import annotations

from runner.cli import format
from runner.errors import RunnerError, UsageError
from runner.model import TaskState
from runner.service import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context
    from runner.ledger.sessions import Session

SUMMARY = "Put idle tasks into the archive of the day."
EXAMPLES = """\
  codex-tasks archive 01a1f0
  codex-tasks archive -a
"""

_NOT_ARCHIVED = set(TaskState) - {TaskState.ARCHIVED}


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "-a", "--all", action="store_true", help="all that are STOPPED or DIED"
    )
    parser.add_argument("task", metavar="TASK", nargs="*", help="the tasks")


def main(found: Namespace, context: Context) -> int:
    """Archive tasks, one line each; one that fails does not keep the others back."""
    if found.all and found.task:
        message = "tasks by name and -a: one of them at a time"
        raise UsageError(message)
    if not (found.all or found.task):
        message = "name the tasks to archive, or all that are idle with -a"
        raise UsageError(message)
    context.sweep()
    skipped: list[str] = []
    if found.all:
        sessions = context.ledger.sessions.all(_NOT_ARCHIVED)
        running = [each for each in sessions if each.state is TaskState.RUNNING]
        skipped = [f"Skipping task {each.name} (RUNNING)." for each in running]
        sessions = [each for each in sessions if each.state is not TaskState.RUNNING]
    else:
        sessions = context.sessions(found.task)
    told = [_archive(session, context) for session in sessions]
    # Not before: a reader that is gone must not keep the others back.
    lines = [line for line, _ in told if line is not None]
    none = ["No STOPPED or DIED tasks were found to archive."]
    context.output.lines([*skipped, *(lines if sessions else none)])
    return max((code for _, code in told), default=0)


def _archive(session: Session, context: Context) -> tuple[str | None, int]:
    try:
        moved = archive.archive(session, context.ledger)
    except (RunnerError, OSError) as error:
        context.note(f"Failed to archive task {session.name}: {error}")
        return None, error.exit_code if isinstance(error, RunnerError) else 1
    if not moved.is_new:
        return f"Task {moved.name} is already archived.", 0
    where = f" to {moved.directory}" if moved.directory else ""
    return f"Task {moved.name} archived{where} ({format.size(moved.size)}).", 0
