"""Where a session really lies, when whoever moved it has died before the index said so.

A session moves inside a transaction of the index. So what differs between two of them
was left behind, and whoever finds it puts it right in one of his own.
"""

from __future__ import annotations

from parsers.struct import replace
from runner import files, session_files
from runner.errors import RunnerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.ledger.runs import Ledger
    from runner.ledger.sessions import Row
    from runner.session_files import SessionFiles


def row_of(session_id: str, ledger: Ledger, state_home: Path) -> Row | None:
    """Return the row of a session, which says where it lies and what it is called now.

    A disk that refuses to note it does not keep the truth from being told.

    Raises:
        LedgerFault: the index cannot be read.
    """
    row = ledger.sessions.of(session_id)
    if row is None or _elsewhere(row, ledger, state_home) is None:
        return row
    try:
        with ledger.database.transaction() as db:
            # Whoever was about to move it has been waited for.
            row = ledger.sessions.of(session_id)
            if row is not None:
                where = _kept_in(row, ledger, state_home)
                ledger.sessions.place(db, row.session_id, where)
    except RunnerFault:
        found = session_files.found(state_home, row.session_id) if row else None
        if row is None or found is None:
            return row
        return replace(row, archived_in=session_files.archived_in(state_home, found))
    return ledger.sessions.of(session_id)


def files_of(session_id: str, ledger: Ledger, state_home: Path) -> SessionFiles:
    """Name the files of a session where it really lies.

    Raises:
        LedgerFault: the index cannot be read.
    """
    row = row_of(session_id, ledger, state_home)
    if row is None:
        return session_files.active(state_home, session_id)
    return session_files.placed(state_home, row.session_id, row.archived_in)


def is_missing(row: Row, ledger: Ledger, state_home: Path) -> bool:
    """Tell whether a session that must have a directory has none where the index says.

    A session of another door has none before it is archived.
    """
    place = session_files.placed(state_home, row.session_id, row.archived_in)
    if files.is_directory(place.directory):
        return False
    runs = ledger.of_session(row.session_id)
    own = (session_files.of_run(state_home, run) for run in runs)
    return row.archived_in is not None or any(own)


def _elsewhere(row: Row, ledger: Ledger, state_home: Path) -> SessionFiles | None:
    """Find a session that does not lie where the index says; None when it does."""
    if not is_missing(row, ledger, state_home):
        return None
    there = session_files.found(state_home, row.session_id)
    return there or session_files.put_aside(state_home, row.session_id)


def _kept_in(row: Row, ledger: Ledger, state_home: Path) -> str | None:
    """Say what the index should; what was not removed after all goes back first."""
    there = _elsewhere(row, ledger, state_home)
    if there is None:
        return row.archived_in
    if not session_files.is_aside(there):
        return session_files.archived_in(state_home, there)
    place = session_files.placed(state_home, row.session_id, row.archived_in)
    files.make_directory(place.directory.parent)
    session_files.move(there, place)
    return row.archived_in
