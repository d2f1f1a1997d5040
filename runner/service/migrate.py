"""Migrate a state directory of the previous version, and restore it."""

from __future__ import annotations

import math
import os

from parsers.light import closing
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
    """Hold what is in the ledger; `notes` name records that were changed or skipped.

    `is_new` is False when the ledger existed already.
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
    """Create the ledger, as soon as no run of the previous version is unfinished.

    Args:
        settings: for the state directory.
        tell: is called with one line for each run that the migration waits for.
        stops: stop these runs, as that version's `codex-tasks stop` does.

    Returns:
        The contents of the ledger; None when there was nothing to migrate.

    Raises:
        MigrationError: the caller is inside a run that has to end first.
        LedgerFault, FileFault: the ledger cannot be created; nothing has changed.
    """
    home = settings.state_home
    database.refuse_closed(home)
    is_new = not os.path.lexists(home / database.NAME)
    if is_new and not os.path.lexists(home / database.OLD):
        return None
    if is_new:
        # Inside a run of the previous version the migration would wait for itself.
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
    with closing(Ledger(home)) as ledger:
        (counts,) = ledger.all("counts")
        notes = [f"{row['what']}: {row['about']}" for row in ledger.all("notes")]
    path, shown = str(home / database.NAME), tuple(notes) if is_new else ()
    return value_of(Migrated, counts, path=path, notes=shown, is_new=is_new)


def restore(settings: Config) -> Restored:
    """Restore the state directory for the previous version.

    Raises:
        UsageError: the caller is inside a run.
        RunsAtWorkError: runs are not finished; nothing has changed.
        NothingToRestoreError: it was not migrated.
        LedgerFault, FileFault: a file cannot be read or written.
    """
    home = settings.state_home
    if RUN_MARKER in settings.environment:
        message = "a run cannot restore the state directory that it is in"
        raise UsageError(message)
    database.refuse_closed(home)
    if os.path.lexists(home / database.NAME):
        with closing(Ledger(home)) as ledger:
            sweep(ledger, settings, delivers=False)
    return restore_index(home)
