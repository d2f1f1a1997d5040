"""Read from a damaged index what no file tells, and put it into the one made anew."""

from __future__ import annotations

import contextlib
import json

from parsers.struct import Struct
from runner import session_files
from runner.errors import RunnerError
from runner.ledger import record
from runner.ledger.usage import COLUMNS, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.ledger.runs import Ledger
    from runner.ledger.usage import Entry
    from runner.model import Run

    Session = tuple[str | None, str | None]

_TABLES = {
    "runs": ("record", "run_id"),
    "sessions": ("session_id, title, archived_in", "session_id"),
    "usage": (", ".join(COLUMNS), "run_id, model"),
}


class Salvage(Struct):
    """Hold what can be read of a damaged index.

    `elsewhere` are runs with files outside the state directory, `sessions` the title
    and the place of each session, `unread` the tables that cannot be read whole.
    """

    elsewhere: tuple[Run, ...] = ()
    sessions: Mapping[str, Session]
    usage: tuple[Entry, ...] = ()
    unread: tuple[str, ...] = tuple(_TABLES)


def salvage(ledger: Ledger | None, state_home: Path) -> Salvage:
    """Read what can be read, table by table."""
    if ledger is None:
        return Salvage(sessions={})
    read = {
        name: ledger.database.legible(name, columns, order)
        for name, (columns, order) in _TABLES.items()
    }
    runs = [run for (text,) in read["runs"][0] if (run := _run(text)) is not None]
    return Salvage(
        elsewhere=tuple(
            run for run in runs if session_files.of_run(state_home, run) is None
        ),
        sessions={
            str(session_id): (_text(title), _text(place))
            for session_id, title, place in read["sessions"][0]
        },
        usage=tuple(read["usage"][0]),
        unread=tuple(name for name, (_, is_whole) in read.items() if not is_whole),
    )


def put_runs(found: Salvage, ledger: Ledger) -> None:
    """Take over the runs that are found by nothing else.

    Raises:
        LedgerFault: the index cannot be written.
    """
    for run in found.elsewhere:
        title, archived_in = found.sessions.get(run.key, (None, None))
        ledger.adopt(run, title=title, archived_in=archived_in)


def put_rest(found: Salvage, ledger: Ledger) -> None:
    """Take over what removed runs have used, and titles, once all runs are there.

    Raises:
        LedgerFault: the index cannot be written.
    """
    known = ledger.known()
    of_removed = [entry for entry in found.usage if entry[0] not in known]
    restore(ledger.database, of_removed)
    for session_id, (title, _) in found.sessions.items():
        row = ledger.sessions.find(session_id)
        if title is not None and row is not None and row.title is None:
            ledger.sessions.set_title(session_id, title)


def _run(text: object) -> Run | None:
    with contextlib.suppress(RunnerError, ValueError, TypeError):
        return record.from_json(json.loads(str(text)))
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
