"""`codex-tasks unarchive`."""

from __future__ import annotations

from runner.service import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = "Bring a task back from the archive."
EXAMPLES = """\
  codex-tasks unarchive 01a1f0
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("task", metavar="TASK", help="the task")


def main(found: Namespace, house: Context) -> int:
    """Bring a task back."""
    row = house.row(found.task)
    moved = archive.unarchive(row, house.ledger, house.settings)
    what = f"is back in {moved.directory}." if moved.is_new else "is not archived."
    house.output.lines([f"Task {row.session_id} {what}"])
    return 0
