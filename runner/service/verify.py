"""Hold the index against the files, and mend what differs.

Safe at any time: what looks different is looked at again when nobody has written it
meanwhile (under the lock of the session, the index unchanged) before it is reported.
A session that is at work is left to those who work on it.
"""

from __future__ import annotations

from functools import partial

from parsers.struct import Struct
from runner import session_lock
from runner.errors import RunnerError
from runner.model import SessionId
from runner.service import (
    verify_files,
    verify_index,
    verify_mail,
    verify_removed,
    verify_salvage,
    verify_session,
    verify_tree,
    verify_twice,
    verify_usage,
    verify_views,
)
from runner.service.verify_findings import HOLDER, Finding, Findings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.service.verify_findings import Difference
    from runner.service.verify_salvage import Salvage

# What has been mended may show what was hidden behind it.
_ROUNDS = 4
# How often to look while others write, before they are made to wait.
_LOOKS = 3


class Report(Struct):
    """Hold what differs, and how much was looked at."""

    differences: tuple[Difference, ...]
    sessions: int = 0
    runs: int = 0

    @property
    def is_good(self) -> bool:
        """Tell whether index and files agree by now."""
        return all(difference.mended for difference in self.differences)


def verify(settings: Config, *, is_repairing: bool = False) -> Report:
    """Hold the index against the files.

    Args:
        settings: for the state directory and Codex's home.
        is_repairing: mend what can be mended.

    Raises:
        LedgerFault: the index cannot be opened although it is not damaged.
    """
    findings = Findings(is_repairing=is_repairing)
    ledger, salvage = verify_index.open_index(findings, settings)
    if ledger is None:
        return Report(differences=findings.differences)
    _examine_all(findings, ledger, salvage, settings)
    return Report(
        differences=findings.differences,
        sessions=len(ledger.sessions.ids()),
        runs=len(ledger.known()),
    )


def _examine_all(
    findings: Findings, ledger: Ledger, salvage: Salvage | None, settings: Config
) -> None:
    home = settings.state_home
    # Before the runs: what was removed is not taken for lost.
    findings.take(list(verify_removed.uncounted(ledger, home)))
    # First what keeps others from being seen: records, rights, rows.
    findings.take(list(verify_index.runs_elsewhere(ledger, settings)))
    findings.take(verify_tree.Tree(home, ledger).differences())
    findings.take(list(verify_index.damaged_rows(ledger, settings)))
    findings.take(list(verify_index.unknown_runs(ledger, settings)))
    if salvage is not None:
        verify_salvage.put_rest(salvage, ledger)
    findings.take(list(verify_removed.unnoted(ledger, home, findings.hidden)))
    findings.take(list(verify_index.unsettled_runs(ledger, settings)))
    findings.take(verify_twice.twice_differences(ledger, home))
    sessions = ledger.sessions.ids() | set(ledger.known().values())
    for session_id in sorted(sessions - findings.hidden):
        _examine(session_id, findings, ledger, settings)


def _examine(
    session_id: str, findings: Findings, ledger: Ledger, settings: Config
) -> None:
    """Look at one session; what is wrong with it concerns no other."""
    try:
        for _ in range(_ROUNDS):
            if not _seems_different(session_id, ledger, settings):
                return
            if not _confirm(session_id, findings, ledger, settings):
                return
    except (RunnerError, OSError) as error:
        detail = f"it cannot be looked at: {error}"
        findings.take([Finding(subject=session_id, kind="unseen", detail=detail)])


def _seems_different(session_id: str, ledger: Ledger, settings: Config) -> bool:
    if ledger.unfinished_of(session_id):
        return False
    found = (*_recorded(session_id, ledger, settings),)
    return bool(found or [*_viewed(session_id, ledger, settings)])


def _confirm(
    session_id: str, findings: Findings, ledger: Ledger, settings: Config
) -> bool:
    """Look again under the lock of a session; tell whether something was mended."""
    home, session = settings.state_home, SessionId(session_id)
    taken = session_lock.take_patiently(home, ledger, session, HOLDER)
    if isinstance(taken, session_lock.Busy):
        return False
    with taken:
        if ledger.unfinished_of(session_id):
            return False
        found = _unchanged(partial(_recorded, session_id, ledger, settings), ledger)
        return findings.take(found or [*_viewed(session_id, ledger, settings)])


def _unchanged(look: Callable[[], Iterator[Finding]], ledger: Ledger) -> list[Finding]:
    """Look at what changes in transactions only, as it is between two of them.

    The index is not kept from others while its files are read, unless they write all
    the time.
    """
    database = ledger.database
    for _ in range(_LOOKS):
        before = database.version()
        found = [*look()]
        # Whoever is about to write has changed files already: that is waited for.
        with database.transaction():
            if database.version() == before:
                return found
    with database.transaction():
        return [*look()]


def _recorded(session_id: str, ledger: Ledger, settings: Config) -> Iterator[Finding]:
    """Look at what the index has on record; the first that differs hides more."""
    rows = [*verify_session.row_differences(session_id, ledger)]
    yield from rows
    case = verify_session.case_of(session_id, ledger, settings.state_home)
    if rows or case is None:
        return
    places = [*verify_session.place_differences(case)]
    yield from places
    if not places:
        yield from verify_session.record_differences(case)
        yield from verify_files.file_differences(case)
        yield from verify_usage.usage_differences(case)
        yield from verify_mail.mail_differences(case)


def _viewed(session_id: str, ledger: Ledger, settings: Config) -> Iterator[Finding]:
    case = verify_session.case_of(session_id, ledger, settings.state_home)
    if case is not None:
        yield from verify_views.view_differences(case)
