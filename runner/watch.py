"""Follow what Codex writes: complete lines as they come, as text for people.

Whoever watches reads the files; nobody stands between Codex and them.
"""

from __future__ import annotations

import os

from parsers import tasklog
from parsers.digest import Digest
from parsers.lines import LineBuffer
from parsers.transcript import render, render_stderr
from parsers.value import Value

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


class Written(Value):
    """Hold what a run has written: as text for people, and as lines of a task log."""

    text: str = ""
    lines: tuple[bytes, ...] = ()


class Watch:
    """Follow one run: its transcript as text, and a digest of its events."""

    def __init__(self, files: RunFiles) -> None:
        self.digest = Digest()
        self._events = Tail(files.events)
        self._stderr = Tail(files.stderr)

    def read(self) -> Written:
        """Return what has been written since the last call."""
        events, errors = list(self._events.lines()), list(self._stderr.lines())
        for line in events:
            self.digest.feed(line)
        return _written(events, errors)

    def finish(self) -> Iterator[Written]:
        """Yield the rest, unfinished last lines included."""
        yield self.read()
        while self._events.has_more or self._stderr.has_more:
            yield self.read()
        last, error = self._events.rest(), self._stderr.rest()
        if last:
            self.digest.finish(last)
        yield _written([last] if last else [], [error] if error else [])
        self._events.close()
        self._stderr.close()


def _written(events: list[bytes], errors: list[bytes]) -> Written:
    if not (events or errors):
        return _NOTHING
    texts = [*map(render, events), *map(render_stderr, errors)]
    lines = (*map(tasklog.event, events), *map(tasklog.stderr, errors))
    return Written(text="".join(texts), lines=lines)


_NOTHING = Written()
