"""`codex-tasks archive`."""

from __future__ import annotations

from runner.cli import format
from runner.errors import RunnerError, UsageError
from runner.model import TaskState
from runner.service import archive
from runner.service.sessions import newest, take_stock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context
    from runner.ledger.sessions import Row

SUMMARY = "Put tasks that are at rest into the archive of the day."
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


def main(found: Namespace, house: Context) -> int:
    """Archive tasks, one line each; one that fails does not keep the others back."""
    if found.all and found.task:
        message = "tasks by name and -a: one of them at a time"
        raise UsageError(message)
    if not (found.all or found.task):
        message = "name the tasks to archive, or all that are at rest with -a"
        raise UsageError(message)
    skipped, rows = _at_rest(house) if found.all else ([], house.rows(found.task))
    told = [_archive(row, house) for row in rows]
    # Not before: a reader that is gone must not keep the others back.
    lines = [line for line, _ in told if line is not None]
    none = ["No STOPPED or DIED tasks were found to archive."]
    house.output.lines([*skipped, *(lines if rows else none)])
    return max((code for _, code in told), default=0)


def _at_rest(house: Context) -> tuple[list[str], list[Row]]:
    """List those at rest, and a line for each that is not."""
    now = take_stock(house.ledger, house.settings)
    house.notes(now.faults)
    skipped, rest = [], []
    for row, state in newest(_NOT_ARCHIVED, now, house.ledger, house.settings):
        if state is TaskState.RUNNING:
            skipped.append(f"Skipping task {row.session_id} (RUNNING).")
        else:
            rest.append(row)
    return skipped, rest


def _archive(row: Row, house: Context) -> tuple[str | None, int]:
    try:
        moved = archive.archive(row, house.ledger, house.settings)
    except (RunnerError, OSError) as error:
        house.note(f"Failed to archive task {row.session_id}: {error}")
        return None, error.exit_code if isinstance(error, RunnerError) else 1
    if moved.is_new:
        size = format.size(moved.size)
        text = f"Task {row.session_id} archived to {moved.directory} ({size})."
    else:
        text = f"Task {row.session_id} is already archived."
    return text, 0
