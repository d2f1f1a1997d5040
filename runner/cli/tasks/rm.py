"""`codex-tasks rm`."""

from __future__ import annotations

from runner.cli import format
from runner.service import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = "Remove an idle task, with its files; what it cost stays on record."
EXAMPLES = """\
  codex-tasks rm 01a1f0
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("task", metavar="TASK", help="the task")


def main(found: Namespace, context: Context) -> int:
    """Remove a task for good; Codex's own files are left alone."""
    context.sweep()
    removed = archive.remove(context.session(found.task), context.ledger)
    context.notes(format.remains(removed))
    size = format.size(removed.size)
    context.output.lines([f"Task {removed.name} removed; {size} given back."])
    return 1 if removed.left else 0
