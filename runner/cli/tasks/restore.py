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
        runs = count(done.runs, "run")
        context.note(
            f"{runs} since the migration: the version before has the files only"
        )
    if done.waiting:
        prompts = count(done.waiting, "prompt")
        context.note(
            f"{prompts} sent since the migration and not delivered: send again"
        )
    home = context.settings.state_home
    context.output.lines(
        [f"{home} is of the version before again: do not use this one there."]
    )
    return 0
