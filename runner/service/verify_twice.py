"""Find the sessions that have two directories.

Where one of them holds nothing but views, which can be made anew, it is in the way.
Which of two with files of their own is right, a user knows.
"""

from __future__ import annotations

import os
from functools import partial

from parsers.value import Value
from runner import artifacts, session_files, session_lock, task_json
from runner.errors import RunnerFault, SessionBusyError
from runner.model import SessionId
from runner.service import verify_tree
from runner.service.verify_findings import HOLDER, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.session_files import SessionFiles
    from runner.store.ledger import Ledger


def twice_differences(ledger: Ledger, state_home: Path) -> Iterator[Finding]:
    """Name the sessions that have two directories."""
    found: dict[str, list[SessionFiles]] = {}
    for files in verify_tree.places(state_home):
        found.setdefault(files.directory.name, []).append(files)
    for name, places in sorted(found.items()):
        if len(places) > 1 and all(
            artifacts.is_directory(each.directory) for each in places
        ):
            yield _Twins(name, tuple(places), ledger, state_home).finding()


class _Twins(Value, kw_only=False):
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
            mend=partial(self._remove, spare) if spare else None,
        )

    def _spare(self) -> list[SessionFiles]:
        """Find what can go, if only one directory is left then."""
        row = self.ledger.sessions.find(self.name)
        if row is None:
            return []
        bare = [files for files in self.places if _is_bare(files, self.name)]
        if len(bare) == len(self.places):
            here = session_files.placed(self.state_home, self.name, row.archived_in)
            bare = [files for files in bare if files != here]
        return bare if len(self.places) - len(bare) == 1 else []

    def _remove(self, spare: list[SessionFiles]) -> None:
        taken = session_lock.take_patiently(
            self.state_home, self.ledger, SessionId(self.name), HOLDER
        )
        later = "verify again when it is over"
        if isinstance(taken, session_lock.Busy):
            raise SessionBusyError(self.name, taken.holder, later)
        try:
            # Senders write their prompts in a transaction too.
            with self.ledger.database.transaction():
                if unfinished := self.ledger.unfinished_of(self.name):
                    raise SessionBusyError(self.name, unfinished[0].run_id, later)
                if self._spare() != spare:
                    message = "it has just changed: verify again"
                    raise RunnerFault(message)
                for files in spare:
                    artifacts.remove([*_views(files)])
                    files.directory.rmdir()
        finally:
            os.close(taken.descriptor)

    def _below(self, files: SessionFiles) -> str:
        return str(files.directory.relative_to(self.state_home))


def _is_bare(files: SessionFiles, name: str) -> bool:
    """Tell whether a directory holds views of this suite's and nothing else."""
    try:
        inside = [*files.directory.iterdir()]
    except OSError:
        return False
    if not all(path in _views(files) and _is_plain(path) for path in inside):
        return False
    if files.json not in inside:
        return True
    try:
        task_json.check(files.json, artifacts.read_json(files.json), name)
    except task_json.DamagedTaskError:
        return False  # the older codex-tasks has nothing but such files
    return True


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _views(files: SessionFiles) -> tuple[Path, ...]:
    return files.json, files.log, files.result, files.pid
