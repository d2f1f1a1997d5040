"""The way back from a supervisor to the command that watches it: lines of JSON.

A convenience, never the truth: the watcher may be gone, and whoever comes later
reads the record.
"""

from __future__ import annotations

import contextlib
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
