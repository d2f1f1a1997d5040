"""One writer per session: an advisory lock, and what outlived its supervisor.

The lock is held by the supervisor and given back by the kernel. Its file names the
run that holds it, for the message to whoever comes second.
"""

from __future__ import annotations

import contextlib
import os

from parsers.value import Value
from runner import artifacts, liveness
from runner.errors import RunnerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import RunId, SessionId
    from runner.store.ledger import Ledger


class Held(Value, kw_only=False):
    """The lock is ours, as long as this descriptor is open."""

    descriptor: int


class Busy(Value, kw_only=False):
    """Somebody else works on the session."""

    holder: str


def take(
    state_home: Path, ledger: Ledger, session_id: SessionId, run_id: RunId
) -> Held | Busy:
    """Try to become the one writer of a session.

    Raises:
        FileFault: the lock file cannot be made.
    """
    directory = state_home / "locks"
    artifacts.make_directory(directory)
    path = directory / f"{session_id}.lock"
    descriptor = artifacts.lock(path)
    if descriptor is None:
        return Busy(_holder(path))
    try:
        others = [run for run in ledger.of_session(session_id) if run.run_id != run_id]
    except RunnerError:
        os.close(descriptor)
        raise
    for other in others:
        if liveness.is_orphaned(other):
            os.close(descriptor)
            return Busy(other.run_id)
    # The name is for whoever comes second; a full disk must not cost the session.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, run_id.encode(), 0)
    return Held(descriptor)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii") or "?"
    except (OSError, ValueError):
        return "?"
