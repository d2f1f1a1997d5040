"""What a launching command hands over to its supervisor, and the way back from it.

The way back, lines of JSON, is a convenience, never the truth: the watcher may be gone,
and a later reader takes the record.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What stops a run when it reaches its supervisor, or the command that follows it.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What the `stop` verb sends to a supervisor: its run is stopped on purpose, not
# interrupted by whatever ends processes.
STOP_SIGNAL = signal.SIGUSR1
# The name by which a list of processes shows a supervisor.
_NAME = "runner.supervisor"
# The caller's directory and PYTHONPATH, where a `runner` or `parsers` of its own may
# lie, come behind this suite in the search for modules. All is on disk at the end, and
# a caller waits for it: the interpreter's own clean-up would take 20 ms.
_PROGRAM = f"""\
import os, sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from runner.supervisor.main import main; os._exit(main())"""


def argv_of(what: str, *descriptors: int) -> list[str]:
    """Build the command line of a supervisor, or of a process that tells what is due.

    Args:
        what: the id of the run; `tell` is what is due in the outbox.
        descriptors: what a supervisor inherits: the pipe back to the command that
            follows the run, the lock that says that the run has a supervisor, and the
            open file that Codex writes to.
    """
    numbers = map(str, descriptors)
    return [sys.executable, "-P", "-c", _PROGRAM, _NAME, what, *numbers]


class StatusPipe:
    """Say things to the watcher, as long as it listens."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def send(self, **message: object) -> None:
        """Send one message; a watcher that is gone or does not read misses it."""
        # A full pipe may take a part of a long one; the next begins a line of its own.
        line = f"\n{json.dumps(message)}\n"
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line.encode())


class StatusReader:
    """Hear what a supervisor says."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_open = True
        self._rest = b""
        os.set_blocking(descriptor, False)

    def messages(self) -> Iterator[Mapping[str, object]]:
        """Yield the messages that have come whole since the last call."""
        while self.is_open:
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                break
            if not data:
                self.is_open = False
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor, self.is_open = -1, False
