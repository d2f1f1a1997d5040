"""Take the histories that other tools have made into the ledger, each session once.

What is on record stays as it is, save a run that was lost and of which its rollout has
the end since. Of several sources that know a thread the one that knows most of it is
asked first, and the others add nothing, so that no usage counts twice. A session is
written beside, put in place by one rename, then taken into the index: whoever is killed
in between is completed by the next import.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from parsers.struct import replace
from runner import files, foreign, session_files
from runner.clock import iso
from runner.errors import RunnerFault
from runner.foreign import sources
from runner.foreign.history import Unreadable
from runner.ledger.record import DamagedRecordError
from runner.locks import lock
from runner.service import imported_files, imported_runs, recovery
from runner.service.imported_accounts import Accountant, Prices
from runner.service.imported_books import Shelf
from runner.service.imported_files import SourceFault
from runner.service.imported_findings import Empty, Imported, Present, Recovered
from runner.service.imported_register import Register, ended_since, is_among
from runner.session_files import SessionFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from runner.config import Config
    from runner.foreign import Reader
    from runner.foreign.history import History
    from runner.ledger.runs import Ledger
    from runner.model import Run, RunId
    from runner.service.imported_findings import Found

# Whoever knows most of a session comes first.
_READERS = (
    foreign.read_task,
    foreign.read_tasks,
    foreign.read_bash_runs,
    foreign.read_rollouts,
)
_LOCK = "import.lock"
_RUNS = "runs"
_AT_WORK = "seems to be at work: import it when it has ended"


Source: TypeAlias = tuple["Reader", Path]


def look_around(
    directories: Sequence[str], ledger: Ledger | None, settings: Config
) -> Iterator[Found]:
    """Say what an import would take in; nothing is written.

    Args:
        directories: as for `take_in`.
        ledger: the index, None where there is none yet.
        settings: for the usual places.
    """
    yield from _Import(ledger, settings, is_trial=True).take_all(directories)


def take_in(
    directories: Sequence[str], ledger: Ledger, settings: Config
) -> Iterator[Found]:
    """Take in what these directories hold, or the usual places where there are none.

    Raises:
        RunnerFault: the disk or the index refuses, or another import is at work.
    """
    files.make_directory(settings.state_home / "locks")
    held = lock(settings.state_home / "locks" / _LOCK)
    if held is None:
        message = "another codex-tasks import is at work"
        raise RunnerFault(message)
    try:
        imported_files.clear(settings.state_home)
        yield from _Import(ledger, settings, is_trial=False).take_all(directories)
    finally:
        os.close(held)


def usual_places(settings: Config) -> list[Path]:
    """Name the places where other tools leave their histories, those that exist."""
    own = settings.environment.get("HOME")
    places = [
        settings.state_home,
        *([Path(own) / ".codex" / "tasks"] if own else []),
        Path(_RUNS).absolute(),
        settings.codex_home,
    ]
    return [place for place in places if files.is_directory(place)]


class _Import:
    def __init__(
        self, ledger: Ledger | None, settings: Config, *, is_trial: bool
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._home = settings.state_home
        self._is_trial = is_trial
        self._prices = Prices(self._home)
        self._shelves: dict[Path, Shelf] = {}
        self._umask = os.umask(0o077)
        self._seen: set[str] = set()
        self._register = Register(self._home, ledger)

    def take_all(self, directories: Sequence[str]) -> Iterator[Found]:
        named = [Path(each).absolute() for each in directories]
        readers: list[Source] = []
        for place in _each_once(named or usual_places(self._settings)):
            try:
                found = foreign.readers_of(place)
            except OSError as error:
                yield Unreadable(place, sources.why(error))
                continue
            readers += [(read, place) for read in found]
            if named and not found:
                yield Unreadable(place, foreign.NOTHING)
        readers.sort(key=lambda source: _READERS.index(source[0]))
        homes = [place for read, place in readers if read is foreign.read_rollouts]
        for place in _each_once([self._settings.codex_home, *homes]):
            self._shelves[place] = Shelf(place)
        for read, place in readers:
            if read is foreign.read_bash_runs:
                yield from self._take_back(place)
            for history in _each_of(read, place):
                yield from self._take(history, place)

    def _take_back(self, place: Path) -> Iterator[Found]:
        """Take back runs of our own that lie among those of the bash runner."""
        sessions: dict[str, list[Run]] = {}
        for run in recovery.lost_runs(place, self._ledger):
            sessions.setdefault(run.key, []).append(run)
            if self._ledger is not None and not self._is_trial:
                paths = session_files.found(self._home, run.key)
                recovery.adopt(run, paths, self._ledger, self._settings)
        for key, runs in sessions.items():
            yield Recovered(session_id=key, source=place, runs=tuple(runs))

    def _take(self, found: History | Unreadable, place: Path) -> Iterator[Found]:
        if isinstance(found, Unreadable):
            yield found
        elif not found.runs:
            yield Empty(history=found)
        else:
            for part in imported_runs.parts_of(found):
                try:
                    yield self._take_part(part, place)
                except (SourceFault, DamagedRecordError, *sources.OVERWHELMED) as error:
                    yield Unreadable(part.source, sources.why(error))

    def _take_part(self, part: History, place: Path) -> Found:
        key = self._register.key_of(part)
        if key in self._seen or self._register.has(key):
            return self._present(key, part, place)
        paths = self._register.where(part, key)
        if paths.runs.is_dir() and any(paths.runs.glob("*.meta.json")):
            return self._found_complete(key, part, paths)
        if part.is_at_work:
            return Unreadable(part.source, _AT_WORK)
        if self._ledger is not None and not self._is_trial:
            self._write(key, part, place, paths, self._ledger)
        self._seen.add(key)
        return Imported(session_id=key, history=part)

    def _present(self, key: str, part: History, place: Path) -> Found:
        known = self._register.runs(key)
        if not known:
            reason = None if key in self._seen else "it was removed here"
            return Present(session_id=key, history=part, reason=reason)
        is_ours = not all(map(imported_files.is_imported, known))
        if not is_ours and (ended := ended_since(part, known)) is not None:
            if self._ledger is not None and not self._is_trial:
                self._renew(key, part, place, known[-1].run_id, self._ledger)
            return Imported(session_id=key, history=replace(part, runs=(ended,)))
        if self._ledger is not None and not (self._is_trial or is_ours):
            self._complete(key, part, known, self._ledger)
        left_out = tuple(run for run in part.runs if not is_among(run, part, known))
        return Present(session_id=key, history=part, left_out=left_out)

    def _renew(
        self, key: str, part: History, place: Path, run_id: RunId, ledger: Ledger
    ) -> None:
        """Write a run anew that has come to its end after it was imported.

        Its files come first: whoever is killed before the index says so does it again.
        """
        row = ledger.sessions.find(key)
        archived_in = row.archived_in if row else None
        paths = session_files.placed(self._home, key, archived_in)
        with self._built(key, part, self._shelf(part, place), paths) as (built, runs):
            (run,) = (each for each in runs if each.run_id == run_id)
            imported_files.put_in_place(run, built, paths)
        ledger.adopt(run, archived_in=archived_in, anew=True)
        imported_files.renew_views(ledger, paths, key)

    def _complete(
        self, key: str, part: History, known: Sequence[Run], ledger: Ledger
    ) -> None:
        """Bring to its end what an import that was killed has begun."""
        row = ledger.sessions.find(key)
        archived_in = row.archived_in if row else None
        paths = session_files.placed(self._home, key, archived_in)
        ids = {run.run_id for run in known}
        begun = imported_files.recorded(paths, without=ids)
        if missing := [run for run in begun if imported_files.is_imported(run)]:
            self._adopt(key, part, paths, missing, ledger)
        elif self._lies_in(part, paths):
            imported_files.complete_views(ledger, paths, key)

    def _found_complete(self, key: str, part: History, paths: SessionFiles) -> Found:
        """Take over a session that lies there whole and that the index lacks."""
        runs = imported_files.recorded(paths)
        if not all(map(imported_files.is_imported, runs)):
            reason = (
                f"it lies in {paths.directory}, and the index does not know it"
                " (codex-tasks verify --repair takes it in)"
            )
            return Present(session_id=key, history=part, reason=reason)
        if self._ledger is not None and not self._is_trial:
            self._adopt(key, part, paths, runs, self._ledger)
        self._seen.add(key)
        return Imported(session_id=key, history=part)

    def _write(
        self, key: str, part: History, place: Path, paths: SessionFiles, ledger: Ledger
    ) -> None:
        shelf = self._shelf(part, place)
        part = shelf.dated(part)
        with self._built(key, part, shelf, paths) as (built, runs):
            if paths.directory.is_dir():
                _rename(built.runs, paths.runs)
            else:
                imported_files.write_views(part, runs, built)
                files.make_directory(paths.directory.parent)
                _rename(built.directory, paths.directory)
        self._adopt(key, part, paths, runs, ledger)

    @contextlib.contextmanager
    def _built(
        self, key: str, part: History, shelf: Shelf, paths: SessionFiles
    ) -> Iterator[tuple[SessionFiles, list[Run]]]:
        """Have the runs of a part written beside, and what is left there removed."""
        built = imported_files.aside(self._home, key)
        where = imported_runs.Place(
            files=paths, codex_home=shelf.codex_home, umask=self._umask
        )
        accountant = Accountant(part, shelf, self._prices)
        try:
            yield built, imported_files.build(part, where, built, accountant)
        finally:
            shutil.rmtree(built.directory, ignore_errors=True)

    def _adopt(
        self,
        key: str,
        part: History,
        paths: SessionFiles,
        runs: Sequence[Run],
        ledger: Ledger,
    ) -> None:
        archived_in = session_files.archived_in(self._home, paths)
        for run in runs:
            ledger.adopt(run, title=part.title, archived_in=archived_in)
        at = iso(imported_files.updated_at(part))
        row = ledger.sessions.find(key)
        if row is not None and row.updated_at < at:
            ledger.sessions.archive(key, archived_in, at)
        imported_files.complete_views(ledger, paths, key)

    def _shelf(self, part: History, place: Path) -> Shelf:
        """Find the home of Codex in which a thread lives."""
        if part.config_path is not None:
            home = Path(part.config_path).absolute().parent
        elif part.kind == "rollout":
            home = place
        else:
            named = part.session_id or ""
            having = (each for each, shelf in self._shelves.items() if shelf.has(named))
            home = next(having, self._settings.codex_home)
        return self._shelves.setdefault(home, Shelf(home))

    @staticmethod
    def _lies_in(part: History, paths: SessionFiles) -> bool:
        with contextlib.suppress(OSError):
            return part.source.samefile(paths.directory)
        return False


def _each_of(read: Reader, place: Path) -> Iterator[History | Unreadable]:
    """Read a source; one that is too much for its reader ends it alone."""
    try:
        yield from read(place)
    except sources.OVERWHELMED as error:
        yield Unreadable(place, sources.why(error))


def _each_once(places: Sequence[Path]) -> list[Path]:
    """Leave out places that are others under another name."""
    return list({place.resolve(): place for place in reversed(places)}.values())[::-1]


def _rename(was: Path, now: Path) -> None:
    session_files.move(SessionFiles(was), SessionFiles(now))
