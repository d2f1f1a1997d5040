"""Put sessions away, bring them back, and remove them for good.

A session moves in one rename, inside the transaction that says so. Whoever dies in
between leaves a directory that the next reader finds (`runner.whereabouts`).
"""

from __future__ import annotations

import contextlib
import os

from parsers.struct import Struct
from runner import clock, files, session_files, session_lock
from runner.errors import NoSuchTaskError, RunnerError, SessionBusyError
from runner.exports import task_files
from runner.ledger import record, removed
from runner.ledger.usage import of_session
from runner.model import SessionId, TaskState
from runner.service import sessions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.ledger.sessions import Row
    from runner.model import Run
    from runner.service.sessions import Task
    from runner.session_files import SessionFiles


class Moved(Struct):
    """Hold where a session lies now, and how many bytes of the disk it takes.

    `is_new` is False when it lay there already.
    """

    session_id: str
    directory: str
    size: int
    is_new: bool = True


class Removed(Struct):
    """Hold what has become of a session's files.

    `size` is how many bytes of the disk they have given back, `left` says of each that
    could not be removed why; in `elsewhere` there still are files of its runs.
    """

    session_id: str
    size: int
    left: tuple[str, ...]
    elsewhere: tuple[str, ...]


class WaitingMailError(SessionBusyError):
    """Refuse to put a session away while prompts wait for it."""

    def __init__(self, session_id: str, count: int) -> None:
        RunnerError.__init__(
            self,
            f"task {session_id} has prompts waiting ({count}): codex-tasks stop skips"
            " them, send delivers them",
        )


def archive(row: Row, ledger: Ledger, settings: Config) -> Moved:
    """Put a session that is at rest into the archive of the day.

    Raises:
        SessionBusyError: it is running, or prompts wait for it.
        RunnerFault: it cannot be moved; it is where it was.
    """
    task = sessions.look(row, ledger, settings)
    if task.state is TaskState.ARCHIVED:
        place = str(task.files.directory)
        return Moved(session_id=task.id, directory=place, size=0, is_new=False)
    with _held(task, ledger, settings):
        bucket = session_files.bucket(clock.now())
        files.make_directory(settings.state_home / bucket)
        if not files.is_directory(task.files.directory):
            _have_directory(task, settings)
        return _move(task, f"{bucket}/{task.id}", ledger, settings)


def unarchive(row: Row, ledger: Ledger, settings: Config) -> Moved:
    """Bring a session back from the archive.

    Raises:
        SessionBusyError: another door carries it on there.
        RunnerFault: it cannot be moved; it is where it was.
    """
    task = sessions.look(row, ledger, settings)
    if task.row.archived_in is None:
        place = str(task.files.directory)
        return Moved(session_id=task.id, directory=place, size=0, is_new=False)
    with _held(task, ledger, settings):
        now = session_files.active(settings.state_home, task.id)
        files.make_directory(now.directory.parent)
        return _move(task, None, ledger, settings)


def _have_directory(task: Task, settings: Config) -> None:
    """Give a session of another door a directory, which it does not have yet."""
    left = session_files.found(settings.state_home, task.id)
    if left is not None:
        # Whoever archived it has died before the index said so.
        session_files.move(left, task.files)
        return
    files.make_directory(task.files.directory)
    task_files.write_log(task.files, task.runs)


def remove(
    row: Row, ledger: Ledger, settings: Config, *, if_unchanged: bool = False
) -> Removed:
    """Remove a session that is at rest, with all files that lie in its directory.

    What it has used and cost stays on record, and so do Codex's own files and the log
    directories of other doors.

    Args:
        row: the session.
        ledger: the index.
        settings: for the place of its files.
        if_unchanged: not when something has happened to it since it was listed.

    Raises:
        SessionBusyError: it is running, prompts wait for it, or it has changed.
        RunnerFault: it cannot be removed.
    """
    task = sessions.look(row, ledger, settings)
    if if_unchanged and task.row != row:
        mend = "it has changed since it was listed"
        raise SessionBusyError(task.id, task.row.last_run, mend)
    home = settings.state_home
    going = [
        (paths, session_files.aside(home, paths.directory.name))
        for paths in _directories(task, home)
    ]
    with _held(task, ledger, settings):
        if waiting := ledger.remove(task.id, _removing(task.id, going, ledger)):
            raise WaitingMailError(task.id, waiting)
    asides = [now for _, now in going]
    size = sum(map(session_files.size, asides))
    left = [fault for now in asides for fault in files.remove_tree(now.directory)]
    return Removed(
        session_id=task.id,
        size=size - sum(map(session_files.size, asides)),
        left=tuple(left),
        elsewhere=_elsewhere(task, home),
    )


def _directories(task: Task, state_home: Path) -> list[SessionFiles]:
    """List the directories that are a session's: those of unnamed runs are, too."""
    unnamed = (session_files.pending(state_home, run.run_id) for run in task.runs)
    return [
        paths
        for paths in dict.fromkeys([task.files, *unnamed])
        if files.is_directory(paths.directory)
    ]


def _elsewhere(task: Task, state_home: Path) -> tuple[str, ...]:
    """Name the log directories of other doors in which files of its runs stay."""
    theirs = (run for run in task.runs if not session_files.of_run(state_home, run))
    found = (record.files_of(run.spec) for run in theirs)
    there = (
        each for each in found if files.status(each.meta) or files.status(each.log)
    )
    return tuple(dict.fromkeys(str(each.directory) for each in there))


@contextlib.contextmanager
def _removing(
    session_id: str, going: Iterable[tuple[SessionFiles, SessionFiles]], ledger: Ledger
) -> Iterator[None]:
    """Put directories aside once it is written down what their runs have used."""
    rows = of_session(ledger.database, session_id)
    removed.note(ledger.database.path.parent, rows)
    with _moving(going):
        yield


@contextlib.contextmanager
def _moving(going: Iterable[tuple[SessionFiles, SessionFiles]]) -> Iterator[None]:
    with contextlib.ExitStack() as moved:
        for was, now in going:
            moved.enter_context(session_files.moving(was, now))
        yield


def older_than(
    instant: datetime, ledger: Ledger, *, with_active: bool = False
) -> list[Row]:
    """List archived sessions that nothing has happened to since an instant.

    Args:
        instant: the instant.
        ledger: the index.
        with_active: list those at rest that are not archived too.
    """
    limit = clock.iso(instant)
    states = tuple(TaskState) if with_active else (TaskState.ARCHIVED,)
    rows = ledger.sessions.newest(states)
    busy = {run.key for run in ledger.unfinished()} | ledger.mail.counts().keys()
    old = (row for row in reversed(rows) if row.updated_at < limit)
    return [row for row in old if row.session_id not in busy]


@contextlib.contextmanager
def _held(task: Task, ledger: Ledger, settings: Config) -> Iterator[None]:
    """Hold a session that is at rest, so that nobody starts anything in it."""
    if task.state is TaskState.RUNNING:
        raise SessionBusyError(task.id, task.last.run_id, "codex-tasks stop ends it")
    was = task.row
    taken = session_lock.take_patiently(
        settings.state_home, ledger, SessionId(task.id), task.last.run_id
    )
    if isinstance(taken, session_lock.Busy):
        raise SessionBusyError(task.id, taken.holder, "codex-tasks stop ends it")
    try:
        now = ledger.sessions.find(task.id)
        if now is None:
            raise NoSuchTaskError(task.id)
        if (now.archived_in, now.last_run) != (was.archived_in, was.last_run):
            # Somebody has come and gone since it was looked at.
            mend = "it has just been carried on or moved: look at it again"
            raise SessionBusyError(task.id, now.last_run, mend)
        yield
    finally:
        os.close(taken.descriptor)


def _move(task: Task, where: str | None, ledger: Ledger, settings: Config) -> Moved:
    was = task.files
    now = session_files.placed(settings.state_home, task.id, where)
    files.remove([was.pid])
    # What has come while the session was not held yet is seen in the transaction.
    waiting = ledger.move(
        task.id,
        where,
        [session_files.moved(run, now) for run in _own_runs(task, was)],
        session_files.moving(was, now),
    )
    if waiting:
        raise WaitingMailError(task.id, waiting)
    with contextlib.suppress(RunnerError):
        # A view of the index, which verify makes anew.
        task_files.write_json(ledger, now)
    size = session_files.size(now)
    return Moved(session_id=task.id, directory=str(now.directory), size=size)


def _own_runs(task: Task, paths: SessionFiles) -> list[Run]:
    return [run for run in task.runs if run.spec.log_dir == str(paths.runs)]
