"""Check the ledger, and the exported files against it.

Every export is made again in memory and compared. `--repair` writes what differs, and
makes a destroyed ledger anew.
"""

from __future__ import annotations

import contextlib
import os
import re
from functools import partial

from parsers.struct import Struct, replace
from runner import clock, files
from runner.errors import LedgerFault, NoSuchTaskError, RunnerError
from runner.exports import queue_files, run_exports, task_files
from runner.ledger import database
from runner.ledger.ledger import Ledger
from runner.locks import Lock, look
from runner.run_files import RUNS, files_of, owner_of
from runner.service import archive, rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.config import Config
    from runner.ledger.sessions import Session
    from runner.model import Run

_TAIL_BYTES = 4096
_OTHERS = 0o077
# What a writer of an export makes beside it, and renames within milliseconds.
_TEMPORARY = re.compile(
    r"\.(codex-run-.+|log|meta\.json|summary\.json|task\.[a-z]+|\d+)\.[0-9a-f]{8}\.tmp"
)
_STALE_SECONDS = 60.0


class Difference(Struct):
    """Hold one thing that differs, and whether it was fixed."""

    kind: str
    subject: str
    detail: str
    is_repairable: bool = True
    fixed: bool = False


class Report(Struct):
    """Hold what was found; `notes` are about what a migration could not take over."""

    differences: tuple[Difference, ...]
    sessions: int = 0
    runs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return all(each.fixed for each in self.differences)


def verify(
    settings: Config, *, is_repairing: bool = False, is_full: bool = False
) -> Report:
    """Compare, and with `is_repairing` write what differs.

    Logs and answers are compared by length and their last 4 kB, or whole with
    `is_full`.

    Raises:
        RunnerFault: the disk refuses what a repair has to write.
    """
    home = settings.state_home
    ledger, damage = _open(home)
    if damage is not None:
        if not is_repairing:
            return Report(differences=(damage,))
        done = rebuild.rebuild(settings)
        damage = replace(damage, detail=f"{damage.detail}; {done}", fixed=True)
        ledger = Ledger(home)
    if ledger is None:
        return Report(differences=())
    found = [] if damage is None else [damage]
    sessions = ledger.sessions.all()
    check = _Check(ledger, is_full=is_full)
    for difference, fix in check.all(sessions):
        found.append(_fixed(difference, fix) if is_repairing and fix else difference)
    return Report(
        differences=tuple(found),
        sessions=len(sessions),
        runs=check.runs,
        notes=tuple(f"{what}: {about}" for what, about in ledger.all("notes")),
    )


def _open(home: Path) -> tuple[Ledger | None, Difference | None]:
    """Open the ledger and check the file itself; neither where there is none yet."""
    path = home / database.NAME
    is_there = files.status(path) is not None or (home / database.OLD).exists()
    if not is_there and not database.is_lost(home):
        return None, None
    try:
        ledger = Ledger(home)
        if not (detail := "; ".join(ledger.faults())):
            return ledger, None
        ledger.close()
    except LedgerFault as error:
        if not rebuild.is_needed(home, error):
            raise
        detail = str(error)
    return None, Difference(kind="ledger", subject=str(path), detail=detail)


def _fixed(difference: Difference, fix: Callable[[], object]) -> Difference:
    try:
        fix()
    except (RunnerError, OSError) as error:
        detail = f"{difference.detail}; it cannot be fixed: {error}"
        return replace(difference, detail=detail)
    return replace(difference, fixed=True)


if TYPE_CHECKING:
    Found = tuple[Difference, Callable[[], object] | None]


class _Check:
    """Find what differs, each with what fixes it."""

    def __init__(self, ledger: Ledger, *, is_full: bool) -> None:
        self._ledger = ledger
        self._home = ledger.home
        self._is_full = is_full
        self._places = {ledger.home / queue_files.QUEUE}
        self.runs = 0

    def all(self, sessions: list[Session]) -> Iterator[Found]:
        for session in sessions:
            # A session may be removed meanwhile.
            with contextlib.suppress(NoSuchTaskError):
                yield from self._session(session)
        yield from self._queue()
        yield from self._strays()
        yield from self._temporaries()
        yield from self._modes()

    def _session(self, session: Session) -> Iterator[Found]:
        runs = self._ledger.runs.of_session(session.key)
        self.runs += len(runs)
        for run in runs:
            self._places.add(files_of(run.spec).directory)
            if self._is_written(run) and not rebuild.has_foreign_files(run):
                yield from self._run(run)
        if (paths := task_files.files_in(session, self._home)) is None:
            return
        self._places.add(paths.directory)
        if not (runs and all(map(self._is_written, runs))):
            return
        ledger, key = self._ledger, session.key
        wanted = task_files.render_json(ledger, key)
        yield from _compared(paths.json, wanted)
        if self._log_differs(paths.log, runs):
            yield _differs(paths.log), partial(task_files.write_all, ledger, key)
        answer = task_files.last_answer(runs)
        if answer:
            text = answer.encode(errors="replace")
            have = files.read_if_there(paths.result)
            begin = 0 if self._is_full else max(0, len(text) - _TAIL_BYTES)
            if len(have) != len(text) or have[begin:] != text[begin:]:
                yield _differs(paths.result), partial(_write, paths.result, text)

    def _is_written(self, run: Run) -> bool:
        """Tell whether a run is over, and the supervisor that writes its files gone."""
        owner = owner_of(self._home, run.run_id)
        return run.is_finished and look(owner) is not Lock.HELD

    def _run(self, run: Run) -> Iterator[Found]:
        paths = files_of(run.spec)
        if not files.is_directory(paths.directory):
            gone = f"the files of its run are gone ({paths.directory})"
            lost = Difference(
                kind="files-gone", subject=run.run_id, detail=gone, is_repairable=False
            )
            yield lost, None
            return
        yield from _compared(paths.summary, run_exports.render_summary(run))
        yield from _compared(paths.meta, run_exports.render_meta(run))
        if run.spec.is_flat and files.status(paths.log) is None:
            text = task_files.render_transcript(run)
            yield _differs(paths.log), partial(_write, paths.log, text)

    def _queue(self) -> Iterator[Found]:
        wanted = {row["id"] for row in self._ledger.all("exported_prompts")}
        found = {int(path.name): path for path in queue_files.all_files(self._home)}
        for number in sorted(wanted | found.keys()):
            path = queue_files.path_of(self._home, number)
            content = queue_files.render(self._ledger, number)
            if content is None and path.exists():
                yield _differs(path, "no prompt waits for it"), path.unlink
            elif content is not None:
                yield from _compared(path, content)

    def _strays(self) -> Iterator[Found]:
        """Find directories of runs that the ledger does not know."""
        for place, can_go in archive.strays(self._ledger):
            detail = "the ledger has no run for this directory"
            if not can_go:
                detail += " (codex-tasks import takes it in)"
            found = replace(_differs(place, detail), is_repairable=can_go)
            yield found, partial(files.remove_tree, place) if can_go else None

    def _temporaries(self) -> Iterator[Found]:
        """Find what a process that was killed while it wrote an export has left."""
        for place in sorted(self._places):
            for path in map(place.joinpath, files.names(place)):
                status = _TEMPORARY.fullmatch(path.name) and files.status(path)
                age = clock.now().timestamp() - status.st_mtime if status else 0.0
                if age >= _STALE_SECONDS:
                    detail = "its writer was killed"
                    yield _differs(path, detail), partial(path.unlink, missing_ok=True)

    def _modes(self) -> Iterator[Found]:
        """Find what others can read or write."""
        below = [self._home / name for name in (RUNS, queue_files.QUEUE)]
        for place in (self._home, self._ledger.path, *below):
            status = files.status(place)
            if status is not None and status.st_mode & _OTHERS:
                detail = f"others can get at it (mode {status.st_mode & 0o777:o})"
                difference = Difference(kind="mode", subject=str(place), detail=detail)
                yield difference, partial(place.chmod, status.st_mode & 0o7700)

    def _log_differs(self, path: Path, runs: list[Run]) -> bool:
        """Compare the lines of a log; the order of stderr among events may differ."""
        if self._is_full:
            have = files.read_if_there(path).splitlines(keepends=True)
            return sorted(have) != sorted(task_files.render_log(runs))
        size, last = _end_of(path)
        for line in task_files.render_log(runs):
            size -= len(line)
            last.discard(line)
        return bool(size or last)


def _end_of(path: Path) -> tuple[int, set[bytes]]:
    """Return the length of a log, and its last lines."""
    try:
        with files.reader(path) as stream:
            size = stream.seek(0, os.SEEK_END)
            begin = stream.seek(max(0, size - _TAIL_BYTES))
            lines = stream.read().splitlines(keepends=True)
    except OSError:
        return 0, set()
    return size, set(lines[1:] if begin else lines)


def _compared(path: Path, wanted: bytes) -> Iterator[Found]:
    if files.read_if_there(path) != wanted:
        yield _differs(path), partial(_write, path, wanted)


def _write(path: Path, content: bytes) -> None:
    files.make_directory(path.parent)
    files.export(path, content)


def _differs(path: Path, detail: str = "") -> Difference:
    if not detail:
        is_there = files.status(path) is not None
        detail = "it differs from the ledger" if is_there else "it is missing"
    return Difference(kind="export", subject=str(path), detail=detail)
