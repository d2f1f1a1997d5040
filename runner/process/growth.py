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

    `is_on` is False while none is sent: the files have to be looked at. `is_exact` is
    True when that is never so.

    Args:
        directory: the directory of the files.
        files: the files.
        is_own: nothing but a run writes in the directory. It is watched as a whole,
            since a user may have few instances of inotify (128 is usual).
    """

    def __init__(self, directory: Path, files: Sequence[Path], *, is_own: bool) -> None:
        self._queue: int | None = None
        self._shared: int | None = None
        self._watched: int | None = None
        self.is_on = self.is_exact = False
        if not _LINUX:
            return
        with suppress(OSError):
            if not is_own:
                with suppress(OSError):
                    self._queue = _watch(files)
            if self._queue is None:
                # The kernel watches as long as it is open.
                handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
                self._watched = handle
                events = fcntl.DN_MODIFY | (fcntl.DN_MULTISHOT if is_own else 0)
                fcntl.fcntl(handle, fcntl.F_NOTIFY, events)
                self._shared = None if is_own else handle
            self.is_on = True
        self.is_exact = self.is_on and self._shared is None

    def end(self) -> None:
        """Let growth in a directory that is watched as a whole be signalled no more."""
        if self._watched is not None:
            os.close(self._watched)

    def renew(self, *, has_grown: bool) -> None:
        """Go on after a signal or a pause: have the next growth signalled too."""
        if self._queue is not None:
            # While an equal event waits, no signal is sent.
            with suppress(BlockingIOError):
                os.read(self._queue, _EVENTS_BYTES)
        if self._shared is not None:
            # A signal for each line of many other runs would cost more than a look once
            # a second: after one for nothing the next pause is without.
            self.is_on = has_grown or not self.is_on
            if self.is_on:
                fcntl.fcntl(self._shared, fcntl.F_NOTIFY, fcntl.DN_MODIFY)


def _watch(files: Sequence[Path]) -> int:
    queue = call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
    for file in files:
        call("inotify_add_watch", queue, os.fsencode(file), _IN_MODIFY)
    fcntl.fcntl(queue, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(queue, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    return queue
