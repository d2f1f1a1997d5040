"""`codex-tasks rm`."""

from __future__ import annotations

from runner.cli import format
from runner.service import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = (
    "Remove a task that is at rest, with its directory; what it cost stays on record."
)
EXAMPLES = """\
  codex-tasks rm 01a1f0
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("task", metavar="TASK", help="the task")


def main(found: Namespace, house: Context) -> int:
    """Remove a task for good; Codex's own files are left alone."""
    row = house.row(found.task)
    removed = archive.remove(row, house.ledger, house.settings)
    house.notes(format.remains(removed))
    text = f"Task {row.session_id} removed; {format.size(removed.size)} given back."
    house.output.lines([text])
    return 1 if removed.left else 0
