"""Tell whether somebody seems to write to a file of Codex still."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from runner import clock, files
from runner.foreign import sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# A model thinks, and a tool works, for less than that without a word on record.
_QUIET: Final = timedelta(hours=1)
_PROCESSES: Final = Path("/proc")
_ENDING: Final = ".jsonl"


class Living:
    """Tell files that are at work, each time by one look at all processes.

    Only Linux says which files a process has open, and of other people's processes
    not even that: there the time of the last change alone tells.
    """

    def has(self, path: Path) -> bool:
        """Tell whether a file was changed lately or is open somewhere."""
        changed_at = sources.modified(path)
        if changed_at is not None and abs(clock.now() - changed_at) < _QUIET:
            return True
        return _identity(path) in self._open

    @cached_property
    def _open(self) -> set[tuple[int, int] | None]:
        return {_identity(path) for path in _open_files()} - {None}


def _identity(path: Path) -> tuple[int, int] | None:
    found = files.status(path)
    return None if found is None else (found.st_dev, found.st_ino)


def _open_files() -> Iterator[Path]:
    """List what processes have open under names that a rollout could have."""
    for process in _below(_PROCESSES):
        if process.name.isdecimal():
            for opened in _below(process / "fd"):
                with contextlib.suppress(OSError):
                    # The name is asked first: to look at just any file may take long.
                    if opened.readlink().suffix == _ENDING:
                        yield opened


def _below(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(directory.iterdir())
    return []
