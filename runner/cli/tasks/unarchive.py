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


def main(found: Namespace, context: Context) -> int:
    """Bring a task back."""
    context.sweep()
    moved = archive.unarchive(context.session(found.task), context.ledger)
    where = f"is back in {moved.directory}." if moved.directory else "is back."
    what = where if moved.is_new else "is not archived."
    context.output.lines([f"Task {moved.name} {what}"])
    return 0
