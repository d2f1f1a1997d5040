"""`codex-tasks migrate`."""

from __future__ import annotations

from runner.cli.format import count
from runner.service import migrate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = "Bring the state directory of the version before to this one."
EXAMPLES = """\
  codex-tasks migrate
  codex-tasks migrate --stop
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "--stop",
        action="store_true",
        help="stop the runs of that version that are not over, instead of waiting",
    )


def main(found: Namespace, context: Context) -> int:
    """Migrate, and name on standard error what could not be taken over as it was."""
    done = migrate.migrate(context.settings, context.note, stops=found.stop)
    if done is None:
        context.output.lines(["There is nothing to migrate."])
        return 0
    context.notes(done.notes)
    if done.is_new:
        tasks, runs = count(done.sessions, "task"), count(done.runs, "run")
        waiting = count(done.waiting, "waiting prompt")
        told = f"Migrated to {done.path}: {tasks}, {runs}, {waiting}."
    else:
        told = f"{done.path} is of this version already."
    context.output.lines([told])
    return 0
