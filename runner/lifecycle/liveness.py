"""Tell whether a run that is not finished is still alive, and through whom."""

from __future__ import annotations

from enum import Enum

from runner.ledger import record
from runner.locks import is_locked
from runner.model import Finished, Launching, Prepared, Running
from runner.process.table import is_alive, program_of, this_process, writers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import ProcessId, Run

_NATIVE = "codex"


class Life(Enum):
    """Who keeps an unfinished run alive."""

    SUPERVISOR = "its supervisor, or the command that is about to start one"
    CODEX = "Codex alone, its supervisor is gone"
    NONE = "nobody"


def life_of(run: Run) -> Life:
    """Tell who keeps a run alive; a finished one is kept by nobody.

    The lock of the events file is taken when the run is prepared and handed to the
    supervisor, which holds it to its last moment. It tells of it across process
    namespaces too (a reader inside a sandbox sees other pids); the pid tells when
    that file has been removed.
    """
    events = record.files_of(run.spec).events
    match run.state:
        case Finished():
            return Life.NONE
        case Prepared(launcher=owner) | Launching(supervisor=owner):
            # The launcher may live on for other reasons, and asks only when the
            # supervisor that it started is gone.
            is_asking = owner == this_process()
            has_no_file = not (events.exists() or is_asking)
            if is_locked(events) or (has_no_file and is_alive(owner)):
                return Life.SUPERVISOR
            return Life.CODEX if codex_of(run) else Life.NONE
        case Running(supervisor=supervisor, codex=codex):
            if is_locked(events) or is_alive(supervisor):
                return Life.SUPERVISOR
            if is_alive(codex) or codex_of(run):
                return Life.CODEX
            return Life.NONE


def is_orphaned(run: Run) -> bool:
    """Tell whether Codex works on without a supervisor."""
    return life_of(run) is Life.CODEX


def codex_of(run: Run) -> ProcessId | None:
    """Name the living Codex of a run: the native process, else the one started.

    A supervisor may have died between starting Codex and saying so, while there was
    only the launcher: then whoever writes to the events file is Codex.
    """
    events = record.files_of(run.spec).events
    if (native := native_codex(events)) is not None:
        return native
    match run.state:
        case Running(codex=codex):
            return codex if is_alive(codex) else None
        case Launching():
            return next(iter(writers_of(events)), None)
        case _:
            return None


def native_codex(events: Path) -> ProcessId | None:
    """Find the native Codex process of a run by what it writes to.

    The npm package's launcher is a Node process above it; killing that one leaves
    the native one running.
    """
    writers = writers_of(events)
    natives = [p for p in writers if program_of(p).startswith(_NATIVE)]
    # The topmost: below it may be a fork of it that has yet to become a tool.
    return natives[0] if natives else None
