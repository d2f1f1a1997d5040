"""Check what removed sessions have used: the index and `removed.jsonl` both tell it."""

from __future__ import annotations

from functools import partial

from runner.ledger import removed
from runner.ledger.usage import COLUMNS, is_same, noted, restore, without_run
from runner.service.verify_findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from runner.ledger.runs import Ledger
    from runner.ledger.usage import Entry

_SESSION = COLUMNS.index("session_id")


def uncounted(ledger: Ledger, state_home: Path) -> Iterator[Finding]:
    """Name the removed sessions of which the index does not know what they used."""
    database = ledger.database
    told = removed.noted(state_home)
    known = ledger.known()
    differing = [
        entry
        for run_id, entries in told.items()
        if run_id not in known and not is_same(entries, noted(database, run_id))
        for entry in entries
    ]
    for session_id, entries in _by_session(differing).items():
        yield Finding(
            subject=session_id,
            kind="removed-uncounted",
            detail="it was removed, and the index does not count what it used",
            mend=partial(restore, database, entries),
        )


def unnoted(
    ledger: Ledger, state_home: Path, hidden: Collection[str]
) -> Iterator[Finding]:
    """Name the removed sessions of which the index alone knows what they used.

    Args:
        ledger: the index.
        state_home: the state directory.
        hidden: sessions of which some runs are not in the index yet.
    """
    found = _by_session(without_run(ledger.database))
    # The file is the first to be written: it is read last.
    known = removed.noted(state_home)
    for session_id, entries in found.items():
        missing = [entry for entry in entries if entry[0] not in known]
        if missing and session_id not in hidden:
            yield Finding(
                subject=session_id,
                kind="removed-unnoted",
                detail=f"it was removed; what it used is not in {removed.NAME}",
                mend=partial(removed.note, state_home, missing),
            )


def _by_session(entries: list[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(str(entry[_SESSION]), []).append(entry)
    return found
