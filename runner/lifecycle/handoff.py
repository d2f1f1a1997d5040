"""The arguments that a command passes to its supervisor, and the status pipe back.

The status pipe carries lines of JSON. It is a convenience only: the command may be
gone, and later readers use the ledger.
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

# Signals that stop a run when its supervisor, or the command that follows it, gets one.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The signal that `stop` sends to a supervisor: the run is then `stopped`, not
# `interrupted`.
STOP_SIGNAL = signal.SIGUSR1
# The name of a supervisor in process lists.
_NAME = "runner.supervisor"
# This suite is first on sys.path: the caller's directory and PYTHONPATH may contain a
# `runner` or `parsers` too. `_exit` skips the interpreter's own shutdown, which takes
# 20 ms: all is on disk, and a caller waits for the process.
_PROGRAM = f"""\
import os, sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from runner.supervisor.main import main; os._exit(main())"""


def argv_of(what: str, *descriptors: int) -> list[str]:
    """Build the command line of a supervisor, or of a process that sends notifications.

    Args:
        what: the id of the run; or `tell`, to send the rows of the outbox.
        descriptors: what a supervisor inherits: the status pipe to the command that
            follows the run, the lock of `owner`, and the open file that Codex writes
            to.
    """
    numbers = map(str, descriptors)
    return [sys.executable, "-P", "-c", _PROGRAM, _NAME, what, *numbers]


class StatusPipe:
    """Send status messages to the command that follows the run."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def send(self, **message: object) -> None:
        """Send one message; a reader that is gone or does not read misses it."""
        # A full pipe may take only a part; the next message begins on a new line.
        line = f"\n{json.dumps(message)}\n"
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line.encode())


class StatusReader:
    """Read the status messages of a supervisor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_open = True
        self._rest = b""
        os.set_blocking(descriptor, False)

    def messages(self) -> Iterator[Mapping[str, object]]:
        """Yield the complete messages since the last call."""
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
