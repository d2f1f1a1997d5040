"""`codex-tasks restore`."""

from __future__ import annotations

from runner.cli.format import count
from runner.service import migrate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = "Give the state directory back to the version before."
EXAMPLES = """\
  codex-tasks restore
"""


def arguments(_: ArgumentParser) -> None:
    """Describe the command line: nothing is asked for."""


def main(_: Namespace, context: Context) -> int:
    """Restore, and say on standard error what that version does not know."""
    done = migrate.restore(context.settings)
    if done.ledger is not None:
        context.note(f"the ledger is {done.ledger} now")
    if done.runs:
        since = f"{count(done.runs, 'run')} since the migration"
        context.note(f"{since}: the version before has the files only")
    if done.waiting:
        sent = f"{count(done.waiting, 'prompt')} sent since the migration"
        context.note(f"{sent} and not delivered: send again")
    home = context.settings.state_home
    told = f"{home} is of the version before again: do not use this one there."
    context.output.lines([told])
    return 0
