"""One writer per session: an advisory lock, and what outlived its supervisor.

The lock is held by the supervisor and given back by the kernel. Its file names the
run that holds it, for the message to whoever comes second.
"""

from __future__ import annotations

import contextlib
import os

from parsers.struct import Struct
from runner import clock, files
from runner.errors import RunnerError
from runner.lifecycle import liveness
from runner.locks import lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.ledger.runs import Ledger
    from runner.model import RunId, SessionId


_MOMENT_SECONDS = 3.0
_PACE_SECONDS = 0.01


class Held(Struct, kw_only=False):
    """The lock is ours, as long as this descriptor is open: to the end of a `with`."""

    descriptor: int

    def __enter__(self) -> None:
        """Keep the lock that has been taken."""

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


class Busy(Struct, kw_only=False):
    """Somebody else works on the session."""

    holder: str


def take(
    state_home: Path, ledger: Ledger, session_id: SessionId, run_id: RunId
) -> Held | Busy:
    """Try to become the one writer of a session.

    Raises:
        FileFault: the lock file cannot be made, or nobody can look who works on it.
        LedgerFault: the index cannot be read.
    """
    directory = state_home / "locks"
    files.make_directory(directory)
    path = directory / f"{session_id}.lock"
    descriptor = lock(path)
    if descriptor is None:
        return Busy(_holder(path))
    try:
        orphans = (
            other.run_id
            for other in ledger.unfinished_of(session_id)
            if other.run_id != run_id and liveness.is_orphaned(other)
        )
        orphan = next(orphans, None)
    except RunnerError:
        os.close(descriptor)
        raise
    if orphan is not None:
        os.close(descriptor)
        return Busy(orphan)
    held = Held(descriptor)
    inscribe(held, run_id)
    return held


def inscribe(held: Held, run_id: RunId) -> None:
    """Name the run that a session is held for, to whoever comes second."""
    # A full disk must not cost the session.
    with contextlib.suppress(OSError):
        os.ftruncate(held.descriptor, 0)
        os.pwrite(held.descriptor, run_id.encode(), 0)


def take_patiently(
    state_home: Path, ledger: Ledger, session_id: SessionId, run_id: RunId
) -> Held | Busy:
    """Try to become the one writer of a session that may be held for a moment only.

    A reader that judges an abandoned run holds the lock too, and so does whoever moves
    the session; only one that has a living run is busy.

    Raises:
        FileFault: the lock file cannot be made.
    """
    deadline = clock.monotonic() + _MOMENT_SECONDS
    while True:
        taken = take(state_home, ledger, session_id, run_id)
        if isinstance(taken, Held) or clock.monotonic() >= deadline:
            return taken
        living = (
            run
            for run in ledger.unfinished_of(session_id)
            if liveness.life_of(run) is not liveness.Life.NONE
        )
        if holder := next(living, None):
            return Busy(holder.run_id)
        clock.sleep(_PACE_SECONDS)


def _holder(path: Path) -> str:
    try:
        return files.read_bytes(path).decode("ascii") or "?"
    except (OSError, ValueError):
        return "?"
