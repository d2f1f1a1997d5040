"""Bring a state directory of the version before to this one, and back."""

from __future__ import annotations

import contextlib
import math
import os

from parsers.struct import Struct
from runner.config import RUN_MARKER
from runner.errors import UsageError
from runner.ledger import database
from runner.ledger.database import value_of
from runner.ledger.ledger import Ledger
from runner.ledger.migrate import PATIENCE_SECONDS
from runner.ledger.migrate import migrate as migrate_index
from runner.ledger.restore import restore as restore_index
from runner.lifecycle.handoff import STOP_SIGNAL
from runner.lifecycle.recover import sweep
from runner.process.signals import send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.config import Config
    from runner.ledger.old_runs import Owned
    from runner.ledger.restore import Restored


class Migrated(Struct):
    """Hold what is in the ledger; `notes` name what could not be taken over as it was.

    `is_new` is False when it was there already.
    """

    path: str
    sessions: int
    runs: int
    waiting: int
    notes: tuple[str, ...]
    is_new: bool


def migrate(
    settings: Config, tell: Callable[[str], None], *, stops: bool = False
) -> Migrated | None:
    """Make the ledger, as soon as no run of the version before is at work.

    Args:
        settings: for the state directory.
        tell: is called with one line for each run that is waited for.
        stops: end them, as that version's `codex-tasks stop` does.

    Returns:
        What is in the ledger now; None where there was nothing to migrate.

    Raises:
        MigrationError: it is asked for inside a run that has to end first.
        LedgerFault, FileFault: it cannot be made; nothing has changed.
    """
    home = settings.state_home
    is_new = not os.path.lexists(home / database.NAME)
    if is_new and not os.path.lexists(home / database.OLD):
        return None
    if is_new:
        # Inside a run of the version before it would wait for its own end.
        is_inside = RUN_MARKER in settings.environment
        patience = PATIENCE_SECONDS if is_inside else math.inf
        told, signaled = set[str](), set[str]()

        def go_on(owned: Sequence[Owned]) -> None:
            for run in owned:
                if run.run_id not in told:
                    told.add(run.run_id)
                    tell(f"waiting for the end of run {run.run_id}")
                if stops and run.supervisor and run.run_id not in signaled:
                    signaled.add(run.run_id)
                    send(run.supervisor, STOP_SIGNAL)

        migrate_index(home, patience, go_on)
    with contextlib.closing(Ledger(home)) as ledger:
        (counts,) = ledger.all("counts")
        notes = [f"{row['what']}: {row['about']}" for row in ledger.all("notes")]
    path, shown = str(home / database.NAME), tuple(notes) if is_new else ()
    return value_of(Migrated, counts, path=path, notes=shown, is_new=is_new)


def restore(settings: Config) -> Restored:
    """Give the state directory back to the version before.

    Raises:
        UsageError: it is asked for inside a run.
        RunsAtWorkError: runs are not over; nothing has changed.
        NothingToRestoreError: it was not migrated.
        LedgerFault, FileFault: it cannot be done.
    """
    home = settings.state_home
    if RUN_MARKER in settings.environment:
        message = "a run cannot restore the state directory that it is in"
        raise UsageError(message)
    if os.path.lexists(home / database.NAME):
        with contextlib.closing(Ledger(home)) as ledger:
            sweep(ledger, settings, delivers=False)
    return restore_index(home)
