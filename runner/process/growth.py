"""Have the kernel send SIGIO when files of a run grow (Linux)."""

from __future__ import annotations

import fcntl
import os
import sys

from parsers.light import suppress
from runner.process.libc import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.paths import Path

_LINUX = sys.platform == "linux"
_IN_MODIFY = 0x2
_EVENTS_BYTES = 1 << 16


class GrowthSignal:
    """Send SIGIO to this process when files grow, until it ends.

    `is_on` is False where that is impossible: the files have to be looked at.

    Args:
        directory: the directory of the files.
        files: the files.
        is_own: nothing but a run writes in the directory. It is watched as a whole,
            since a user may have few instances of inotify (128 is usual).
    """

    def __init__(self, directory: Path, files: Sequence[Path], *, is_own: bool) -> None:
        self._queue: int | None = None
        self.is_on = False
        with suppress(OSError, AttributeError):
            if is_own and _LINUX:
                # Never closed: the kernel watches as long as it is open.
                handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
                events = fcntl.DN_MODIFY | fcntl.DN_MULTISHOT
                fcntl.fcntl(handle, fcntl.F_NOTIFY, events)
                self.is_on = True
            elif _LINUX:
                self._queue = _watch(files)
                self.is_on = True

    def drain(self) -> None:
        """Take the events of inotify: while an equal one waits, no signal is sent."""
        if self._queue is not None:
            with suppress(BlockingIOError):
                os.read(self._queue, _EVENTS_BYTES)


def _watch(files: Sequence[Path]) -> int:
    queue = call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
    for file in files:
        call("inotify_add_watch", queue, os.fsencode(file), _IN_MODIFY)
    fcntl.fcntl(queue, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(queue, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    return queue
