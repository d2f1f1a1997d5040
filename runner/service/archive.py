"""Archive, unarchive and remove sessions."""

from __future__ import annotations

import os
from functools import partial

from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct
from runner import clock, files
from runner.clock import iso
from runner.errors import LeftRunningError, RunnerError
from runner.exports import task_files
from runner.ledger.sessions import ExportedNowError
from runner.lifecycle import timer
from runner.lifecycle.liveness import left_by
from runner.locks import Lock, look
from runner.model import TaskState
from runner.run_files import RUNS, WORKTREES, files_of, is_run_id, own_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from parsers.light import datetime
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.model import Run

_IDLE = (TaskState.STOPPED, TaskState.DIED, TaskState.ARCHIVED)
BLOCK_BYTES = 512
# A directory without a row is kept for this long: its run may be about to be inserted.
_STALE_SECONDS = 3600.0
_PACE_SECONDS = 0.02
# How long a supervisor may take to write its exports.
_PATIENCE_SECONDS = 5.0


class Moved(Struct):
    """Hold the new directory of a session's exports, and the size of its runs.

    `directory` is None for a session without exports; `is_new` is False when the
    session was there already.
    """

    name: str
    directory: str | None
    size: int
    is_new: bool = True


class Removed(Struct):
    """Hold the result of a removal.

    `size` is the number of bytes that were freed, `left` the reason for each file that
    could not be removed. The directories in `elsewhere` still hold files of its runs.
    `unsent` is how many of its notifications were not sent yet: they never will be.
    """

    name: str
    size: int
    left: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    unsent: int = 0


def archive(session: Session, ledger: Ledger) -> Moved:
    """Archive an idle session; move its exports into the archive of the day.

    A session without exports gets them: a rebuild reads there that it is archived.

    Raises:
        SessionBusyError: something runs or waits in it.
        LedgerFault: the ledger cannot be written.
    """
    if session.is_archived:
        return _moved(session, ledger, is_new=False)
    at = clock.now()
    exports = session.thread and task_files.archived_at(session.name, at)
    _once_exported(lambda: ledger.sessions.archive(session, exports, iso(at)))
    return _moved(session, ledger)


def unarchive(session: Session, ledger: Ledger) -> Moved:
    """Move a session out of the archive.

    Raises:
        SessionBusyError: a run on it is unfinished.
        LedgerFault: the ledger cannot be written.
    """
    if not session.is_archived:
        return _moved(session, ledger, is_new=False)
    exports = session.exports and session.name
    at = iso(clock.now())
    _once_exported(lambda: ledger.sessions.unarchive(session, exports, at))
    return _moved(session, ledger)


def remove(
    session: Session,
    ledger: Ledger,
    *,
    if_unchanged: bool = False,
    is_dry: bool = False,
    with_flat: bool = False,
) -> Removed:
    """Remove an idle session: the directories of its runs and worktree, its exports.

    Its usage and cost and Codex's own files stay; the files of its runs in a --log-dir
    only without `with_flat`. `if_unchanged` refuses a session that was changed since it
    was read; `is_dry` only returns the size.

    Raises:
        SessionBusyError: a run or prompt of the session is not finished, its runs have
            left processes running, or it has changed.
        NoSuchTaskError: another process has removed it.
        LedgerFault: the ledger cannot be written.
    """
    runs = ledger.runs.of_session(session.key)
    for run in runs:
        if left := left_by(run):
            shown = ", ".join(f"{each.pid} ({name})" for each, name in left.items())
            raise LeftRunningError(session.short_id, shown)
    places = _directories(session, runs, ledger.home)
    flat = [
        path
        for files_of_run in (files_of(run.spec) for run in runs if run.spec.is_flat)
        for path in files_of_run.all
        if files_of_run.directory not in places and os.path.lexists(path)
    ]
    removed = flat if with_flat else []
    size = sum(map(size_of, places)) + _size(removed)
    if is_dry:
        return Removed(name=session.name, size=size)
    # What an import has read of an older tool is not this suite's to remove.
    rows = ledger.all("imports_of_session", session=session.key)
    theirs = {row["source"]: 0 for row in rows if row["kind"].startswith("codex-tasks")}
    told = ledger.outbox.of_session(session.key)
    unsent = sum(each["state"] == "waiting" for each in told)

    def remove_exports(now: Session) -> None:
        if exports := now.exports_in(ledger.home):
            files.remove_tree(exports)

    _once_exported(
        partial(
            ledger.sessions.remove, session, remove_exports, if_unchanged=if_unchanged
        )
    )
    if unsent:
        timer.ring(ledger.home)  # it waits for their next try no longer
    faults = [fault for place in places for fault in files.remove_tree(place)]
    files.remove(removed)
    elsewhere = {str(path.parent): None for path in flat if os.path.lexists(path)}
    return Removed(
        name=session.name,
        size=size - sum(map(size_of, places)) - _size(removed),
        left=tuple(faults),
        elsewhere=(*elsewhere, *(each for each in theirs if files.status(Path(each)))),
        unsent=unsent,
    )


def older_than(
    instant: datetime, ledger: Ledger, *, with_active: bool = False
) -> list[Session]:
    """List archived sessions that were not changed since an instant.

    `with_active` also lists idle sessions that are not archived.
    """
    limit = iso(instant)
    states = _IDLE if with_active else (TaskState.ARCHIVED,)
    found = reversed(ledger.sessions.all(states))
    return [each for each in found if each.updated_at < limit and not each.waiting]


def _directories(session: Session, runs: Iterable[Run], state_home: Path) -> list[Path]:
    """List the directories of one session in the state directory."""
    found = [own_directory(state_home, run.run_id) for run in runs]
    found.append(state_home / WORKTREES / session.short_id)
    if (exports := session.exports_in(state_home)) is not None:
        found.append(exports)
    # The previous version kept runs and prompts below the session's directory.
    flat = (Path(run.spec.directory) for run in runs if run.spec.is_flat)
    found += [
        each.parent
        for each in flat
        if each.name == RUNS and state_home in each.parent.parents
    ]
    return [each for each in dict.fromkeys(found) if files.is_directory(each)]


def strays(ledger: Ledger) -> Iterator[tuple[Path, bool]]:
    """Find directories of runs without a row in the ledger.

    Returns:
        Each, and whether it can be removed: its run was removed or never inserted.
    """
    known = {row["run_id"] for row in ledger.all("run_directories")}
    removed = ledger.usage.known_ids()
    for name in files.names(ledger.home / RUNS):
        if name in known:
            continue
        place = ledger.home / RUNS / name
        status = files.status(place)
        if status is None or not files.is_directory(place):
            continue
        age = clock.now().timestamp() - status.st_mtime
        # A younger or locked directory may belong to a run that is being prepared.
        if age >= _STALE_SECONDS and look(place / "owner") is not Lock.HELD:
            # A run that has worked is kept, even if its record is lost.
            events = files.status(place / "events.jsonl")
            has_worked = events is not None and events.st_size > 0
            is_empty = not has_worked and not (place / "meta.json").exists()
            yield place, name in removed or (is_empty and is_run_id(name))


def remove_strays(ledger: Ledger, *, is_dry: bool = False) -> list[Removed]:
    """Remove the directories of runs that are not in the ledger."""
    return [
        Removed(
            name=str(place),
            size=size_of(place),
            left=() if is_dry else tuple(files.remove_tree(place)),
        )
        for place, can_go in strays(ledger)
        if can_go
    ]


def size_of(directory: Path) -> int:
    """Return the disk space of a directory in bytes."""
    found = os.walk(directory)
    return _size(Path(name) / each for name, _, names in found for each in names)


def _size(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(OSError):
            total += os.lstat(path).st_blocks * BLOCK_BYTES
    return total


def _once_exported(change: Callable[[], None]) -> None:
    """Make a change as soon as no supervisor writes the files of the session."""
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return change()
        except ExportedNowError:
            if clock.monotonic() >= deadline:
                raise
        clock.sleep(_PACE_SECONDS)


def _moved(was: Session, ledger: Ledger, *, is_new: bool = True) -> Moved:
    """Move the exports of a session to the place in the ledger, if that has changed."""
    now, size = was, 0
    if is_new:
        now = ledger.sessions.get(was.key)
        task_files.move(was.exports_in(ledger.home), now.exports_in(ledger.home))
        write = task_files.write_json if was.exports else task_files.write_all
        with suppress(RunnerError):
            write(ledger, was.key)
        runs = ledger.runs.of_session(was.key)
        size = sum(map(size_of, _directories(now, runs, ledger.home)))
    exports = now.exports_in(ledger.home)
    directory = str(exports) if exports else None
    return Moved(name=now.name, directory=directory, size=size, is_new=is_new)
