"""Follow what Codex writes: complete lines as they come, as text for people.

Whoever watches reads the files; nobody stands between Codex and them.
"""

from __future__ import annotations

import os

from parsers.digest import Digest
from parsers.lines import LineBuffer
from parsers.transcript import render, render_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.artifacts import RunFiles

_CHUNK = 1 << 20
# A flood of output must not keep a supervisor from its signals and limits.
_CHUNKS_AT_ONCE = 8


class Tail:
    """Read the complete lines that are added to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._buffer = LineBuffer()
        self.has_more = False

    def lines(self) -> Iterator[bytes]:
        """Yield what has been completed since the last call, some MiB at the most."""
        if self._handle is None:
            try:
                self._handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
        for _ in range(_CHUNKS_AT_ONCE):
            data = os.read(self._handle, _CHUNK)
            self.has_more = bool(data)
            if not data:
                return
            yield from self._buffer.feed(data)

    def rest(self) -> bytes:
        """Return a last line that has no end."""
        return self._buffer.pending

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Watch:
    """Follow one run: its transcript as text, and a digest of its events."""

    def __init__(self, files: RunFiles) -> None:
        self.digest = Digest()
        self._events = Tail(files.events)
        self._stderr = Tail(files.stderr)

    def read(self) -> str:
        """Return the transcript of what has been written since the last call."""
        parts = [self._event(line) for line in self._events.lines()]
        parts += [render_stderr(line) for line in self._stderr.lines()]
        return "".join(parts)

    def finish(self) -> Iterator[str]:
        """Yield the transcript of the rest, unfinished last lines included."""
        yield self.read()
        while self._events.has_more or self._stderr.has_more:
            yield self.read()
        if rest := self._events.rest():
            self.digest.finish(rest)
            yield render(rest)
        if rest := self._stderr.rest():
            yield render_stderr(rest)
        self._events.close()
        self._stderr.close()

    def _event(self, line: bytes) -> str:
        self.digest.feed(line)
        return render(line)
