"""`codex-tasks migrate` and `restore`."""

from __future__ import annotations

from argparse import Namespace

from runner.cli.context import Context
from runner.cli.format import count
from runner.service import migrate

HELP = """\
Bring the state directory of the version before to this one.

--stop   stop the runs of that version that are not over, instead of waiting

  codex-tasks migrate
  codex-tasks migrate --stop
"""
HELP_restore = """\
Give the state directory back to the version before.

  codex-tasks restore
"""


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


def main_restore(_: Namespace, context: Context) -> int:
    """Restore, and say on standard error what that version does not know."""
    done = migrate.restore(context.settings)
    since = "since the migration"
    if done.ledger is not None:
        context.note(f"the ledger is {done.ledger} now")
    if done.runs:
        runs = count(done.runs, "run")
        context.note(f"{runs} {since}: the version before has the files only")
    if done.waiting:
        prompts = count(done.waiting, "prompt")
        context.note(f"{prompts} sent {since} and not delivered: send again")
    home = context.settings.state_home
    context.output.lines(
        [f"{home} is of the version before again: do not use this one there."]
    )
    return 0
