"""Find the sessions that have two directories.

Where one of them holds nothing but views, which can be made anew, it is in the way.
Where both hold runs of the session, and no file of one has the name of another's, they
are put together. Which of two others is right, a user knows.
"""

from __future__ import annotations

from functools import partial

from parsers.struct import Struct
from runner import files, session_files, session_lock
from runner.errors import RunnerFault, SessionBusyError
from runner.exports import task_json
from runner.model import SessionId
from runner.service import verify_merge, verify_tree
from runner.service.verify_findings import HOLDER, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.ledger.runs import Ledger
    from runner.session_files import SessionFiles

_HALVES = 2
_LATER = "verify again when it is over"


def twice_differences(ledger: Ledger, state_home: Path) -> Iterator[Finding]:
    """Name the sessions that have two directories."""
    found: dict[str, list[SessionFiles]] = {}
    for paths in verify_tree.places(state_home):
        found.setdefault(paths.directory.name, []).append(paths)
    for name, places in sorted(found.items()):
        if len(places) > 1 and all(
            files.is_directory(each.directory) for each in places
        ):
            yield _Twins(name, tuple(places), ledger, state_home).finding()


class _Twins(Struct, kw_only=False):
    """Hold the directories of one session."""

    name: str
    places: tuple[SessionFiles, ...]
    ledger: Ledger
    state_home: Path

    def finding(self) -> Finding:
        spare = self._spare()
        detail = f"it lies in {' and in '.join(map(self._below, self.places))}"
        if spare:
            detail += f"; only views are in {', '.join(map(self._below, spare))}"
        return Finding(
            subject=self.name,
            kind="twice",
            detail=detail,
            mend=self._mend(spare),
        )

    def _mend(self, spare: list[SessionFiles]) -> Callable[[], None] | None:
        if spare:
            return partial(self._remove, spare)
        return self._unite if self._other_half() is not None else None

    def _spare(self) -> list[SessionFiles]:
        """Find what can go, if only one directory is left then."""
        row = self.ledger.sessions.find(self.name)
        if row is None:
            return []
        bare = [paths for paths in self.places if _is_bare(paths, self.name)]
        if len(bare) == len(self.places):
            here = session_files.placed(self.state_home, self.name, row.archived_in)
            bare = [paths for paths in bare if paths != here]
        return bare if len(self.places) - len(bare) == 1 else []

    def _other_half(self) -> SessionFiles | None:
        """Find what can be put to the directory that the index has."""
        row = self.ledger.sessions.find(self.name)
        if row is None or len(self.places) != _HALVES:
            return None
        here = session_files.placed(self.state_home, self.name, row.archived_in)
        others = [paths for paths in self.places if paths != here]
        if len(others) != 1 or not all(map(self._is_half, self.places)):
            return None
        return others[0] if verify_merge.can_merge(others[0], here) else None

    def _is_half(self, paths: SessionFiles) -> bool:
        """Tell whether a directory holds runs of the session, on record as its own."""
        known = set(self.ledger.ids_of(self.name))
        runs = verify_tree.metas(paths).keys()
        return bool(runs) and runs <= known

    def _unite(self) -> None:
        with self._held():
            half = self._other_half()
            if half is None or self.ledger.unfinished_of(self.name):
                message = "it has just changed: verify again"
                raise RunnerFault(message)
            (here,) = (paths for paths in self.places if paths != half)
            verify_merge.merge(half, here, self.ledger)
            runs = self.ledger.of_session(self.name)
            found = [
                session_files.moved(run, here)
                for run in runs
                if run.run_id in verify_tree.metas(here)
            ]
            self.ledger.relocate(found)

    def _remove(self, spare: list[SessionFiles]) -> None:
        with (
            self._held(),
            # Senders write their prompts in a transaction too.
            self.ledger.database.transaction(),
        ):
            if unfinished := self.ledger.unfinished_of(self.name):
                raise SessionBusyError(self.name, unfinished[0].run_id, _LATER)
            if self._spare() != spare:
                message = "it has just changed: verify again"
                raise RunnerFault(message)
            for paths in spare:
                files.remove([*_views(paths)])
                paths.directory.rmdir()

    def _held(self) -> session_lock.Held:
        taken = session_lock.take_patiently(
            self.state_home, self.ledger, SessionId(self.name), HOLDER
        )
        if isinstance(taken, session_lock.Busy):
            raise SessionBusyError(self.name, taken.holder, _LATER)
        return taken

    def _below(self, paths: SessionFiles) -> str:
        return str(paths.directory.relative_to(self.state_home))


def _is_bare(paths: SessionFiles, name: str) -> bool:
    """Tell whether a directory holds views of this suite's and nothing else."""
    try:
        inside = [*paths.directory.iterdir()]
    except OSError:
        return False
    if not all(path in _views(paths) and _is_plain(path) for path in inside):
        return False
    if paths.json not in inside:
        return True
    try:
        task_json.check(paths.json, files.read_json(paths.json), name)
    except task_json.DamagedTaskError:
        return False  # the older codex-tasks has nothing but such files
    return True


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _views(paths: SessionFiles) -> tuple[Path, ...]:
    return paths.json, paths.log, paths.result, paths.pid
