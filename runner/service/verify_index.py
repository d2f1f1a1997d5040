"""The index itself: opened, moved aside when it is damaged, filled from the files."""

from __future__ import annotations

import contextlib
import os
from functools import partial

from runner import clock, files, log_dirs, session_files
from runner.errors import LedgerFault, NoSuchRunError, RunnerError, RunnerFault
from runner.ledger import record
from runner.ledger.database import is_damage
from runner.ledger.runs import Ledger, read_meta
from runner.lifecycle.recover import reconcile_run
from runner.locks import lock
from runner.service import recovery, verify_salvage, verify_tree
from runner.service.verify_findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.config import Config
    from runner.model import Run
    from runner.service.verify_findings import Findings
    from runner.service.verify_salvage import Salvage
    from runner.session_files import SessionFiles

_NAME = "runs.db"
_WITH_IT = ("", "-wal", "-shm")


def open_index(
    findings: Findings, settings: Config
) -> tuple[Ledger | None, Salvage | None]:
    """Open the index; None when it is damaged and has not been mended.

    A damaged one is moved aside. What it still tells of runs whose files lie elsewhere
    is taken over.

    Returns:
        The index, and what can be read of a damaged one that no file tells.

    Raises:
        LedgerFault: it cannot be opened for another reason.
    """
    ledger, damage = _look(settings.state_home)
    if not damage:
        return ledger, None
    found = verify_salvage.salvage(ledger, settings.state_home)
    if ledger is not None:
        ledger.close()
    finding = Finding(
        subject=_NAME,
        kind="index-damaged",
        detail=f"the index cannot be used: {damage[0]}{_loss(found)}",
        mend=partial(_move_aside, settings.state_home),
    )
    if not findings.take([finding]):
        return None, None
    ledger = Ledger(settings.state_home)
    verify_salvage.put_runs(found, ledger)
    return ledger, found


def damaged_rows(ledger: Ledger, settings: Config) -> Iterator[Finding]:
    """Name the runs whose row cannot be read."""
    for run_id, session_id in ledger.known().items():
        try:
            ledger.find(run_id)
        except NoSuchRunError:
            continue
        except (RunnerError, ValueError, TypeError) as error:
            yield Finding(
                subject=run_id,
                kind="row-damaged",
                detail=f"its row in the index cannot be read: {error}",
                mend=_from_meta(run_id, ledger, settings),
                hides=session_id,
            )


def unknown_runs(ledger: Ledger, settings: Config) -> Iterator[Finding]:
    """Name the runs that lie in a session's directory and not in the index."""
    known = ledger.known()
    seeming = [
        (run_id, path, paths)
        for paths in verify_tree.places(settings.state_home)
        for run_id, path in verify_tree.metas(paths).items()
        if run_id not in known
    ]
    if not seeming:
        return
    # Again when nobody writes: a run and its file come in one transaction.
    with ledger.database.transaction():
        known = ledger.known()
        unknown = [
            each
            for each in seeming
            if each[0] not in known and files.status(each[1]) is not None
        ]
    for run_id, path, paths in unknown:
        yield _unknown(run_id, path, paths, ledger, settings)


def runs_elsewhere(ledger: Ledger, settings: Config) -> Iterator[Finding]:
    """Name the runs in log directories of their own that the index has lost."""
    home = settings.state_home
    for directory in log_dirs.noted(home):
        for run in recovery.lost_runs(directory, ledger):
            paths = session_files.found(home, run.key)
            yield Finding(
                subject=run.run_id,
                kind="unknown-run",
                detail=f"it lies in {directory}, the index does not know it",
                mend=partial(recovery.adopt, run, paths, ledger, settings),
                hides=run.key,
            )


def unsettled_runs(ledger: Ledger, settings: Config) -> Iterator[Finding]:
    """Judge the runs that were left behind, and name those that cannot be judged."""
    for run_id in ledger.known():
        with contextlib.suppress(NoSuchRunError, record.DamagedRecordError):
            run = ledger.find(run_id)
            try:
                reconcile_run(run, ledger, settings)
            except (RunnerError, OSError) as error:
                detail = f"its end cannot be put on record: {error}"
                yield Finding(subject=run_id, kind="unsettled", detail=detail)


def _look(state_home: Path) -> tuple[Ledger | None, list[str]]:
    ledger = None
    try:
        ledger = Ledger(state_home)
        return ledger, ledger.database.faults()
    except LedgerFault as fault:
        if not is_damage(fault):
            raise
        return ledger, [str(fault.__cause__)]


def _loss(found: Salvage) -> str:
    """Say what cannot be read of a damaged index."""
    if not found.unread:
        return ""
    tables = ", ".join(found.unread)
    return f"; not all of {tables} can be read: what no file tells is lost"


def _move_aside(state_home: Path) -> None:
    """Move a damaged index out of the way, unless somebody else has just done so."""
    files.make_directory(state_home / "locks")
    held = lock(state_home / "locks" / "verify.lock")
    if held is None:
        message = "another codex-tasks verify --repair is at work"
        raise RunnerFault(message)
    try:
        ledger, damage = _look(state_home)
        if ledger is not None:
            ledger.close()
        stamp = f"{clock.now():%Y%m%d-%H%M%S}"
        for suffix in _WITH_IT if damage else ():
            path = state_home / f"{_NAME}{suffix}"
            with contextlib.suppress(FileNotFoundError):
                path.rename(state_home / f"{_NAME}.damaged-{stamp}{suffix}")
        Ledger(state_home).close()
    finally:
        os.close(held)


def _unknown(
    run_id: str, path: Path, paths: SessionFiles, ledger: Ledger, settings: Config
) -> Finding:
    place = paths.directory.relative_to(settings.state_home)
    try:
        run = _read(run_id, path, paths)
    except RunnerError as error:
        return Finding(subject=run_id, kind="meta-damaged", detail=str(error))
    return Finding(
        subject=run_id,
        kind="unknown-run",
        detail=f"it lies in {place}, the index does not know it",
        mend=partial(recovery.adopt, run, paths, ledger, settings),
        hides=run.key,
    )


def _read(run_id: str, path: Path, paths: SessionFiles) -> Run:
    run = read_meta(path)
    if run is None or run.run_id != run_id:
        raise record.DamagedRecordError(run_id, "it is of another run, or unreadable")
    return session_files.moved(run, paths)


def _from_meta(
    run_id: str, ledger: Ledger, settings: Config
) -> Callable[[], object] | None:
    """Find what a row that cannot be read can be made anew from."""
    for paths in verify_tree.places(settings.state_home):
        path = verify_tree.metas(paths).get(run_id)
        if path is not None:
            with contextlib.suppress(RunnerError):
                run = _read(run_id, path, paths)
                return partial(ledger.adopt, run, anew=True)
    return None
