"""Follow the files that Codex writes: complete lines, as they are appended."""

from __future__ import annotations

import os
from itertools import islice

from parsers.exec_events import task_log
from parsers.exec_events.events import (
    ErrorReported,
    ItemEvent,
    TurnStarted,
    decode,
)
from parsers.exec_events.items import (
    CollabToolCall,
    Command,
    FileChange,
    ItemError,
    McpToolCall,
    WebSearch,
)
from parsers.exec_events.summary import EventSummary
from parsers.exec_events.transcript import render, render_stderr
from parsers.light import suppress
from parsers.lines import LineBuffer
from parsers.struct import Struct, replace
from runner import clock, files
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from parsers.exec_events.events import Event
    from parsers.exec_events.items import Item
    from parsers.paths import Path
    from runner.arrivals import Arrivals
    from runner.model import Run
    from runner.run_files import RunFiles

# How long a run may do nothing but reconnect, before the model has answered anything.
START_STALL = 600.0
_CHUNK = 1 << 20
_END_BYTES = 1 << 16
# Much output must not keep a supervisor from its signals and limits.
_CHUNKS_AT_ONCE = 8


class Tail:
    """Read the complete lines that are appended to a file.

    Args:
        path: the file; it may be renamed once it is open.
        offset: where to begin: the start of a line.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self._offset = offset
        self._handle: int | None = None
        self._buffer = LineBuffer()
        self.has_more = False

    @property
    def has_grown(self) -> bool:
        """Whether there may be new data: cheaper than a read."""
        return self._handle is None or os.fstat(self._handle).st_size != self._offset

    def open(self) -> int:
        """Open the file on the first call, and return its descriptor.

        Raises:
            OSError: it cannot be opened.
        """
        if self._handle is None:
            self._handle = files.open_regular(self.path)
            os.lseek(self._handle, self._offset, os.SEEK_SET)
        return self._handle

    def lines(self) -> Iterator[bytes]:
        """Yield the lines completed since the last call, at most some MiB."""
        try:
            handle = self.open()
        except OSError:
            return
        if os.fstat(handle).st_size < self._offset:  # the file was truncated
            self._offset = os.lseek(handle, 0, os.SEEK_SET)
            self._buffer = LineBuffer()
        try:
            for _ in range(_CHUNKS_AT_ONCE):
                data = os.read(handle, _CHUNK)
                self.has_more = bool(data)
                if not data:
                    return
                self._offset += len(data)
                yield from self._buffer.feed(data)
        except MemoryError:
            # Drop the beginning of a line that is too long, to read its rest and the
            # lines after it.
            self._buffer = LineBuffer()
            raise

    @property
    def grown_at(self) -> float:
        """When the file was last written to, in seconds; 0 before it is open."""
        return 0 if self._handle is None else os.fstat(self._handle).st_mtime

    @property
    def offset(self) -> int:
        """The end of the last complete line that was read."""
        return self._offset - len(self._buffer.pending)

    def rest(self) -> bytes:
        """Return the last line if it has no newline."""
        return self._buffer.pending

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def last_lines(path: Path, count: int, *, with_rest: bool) -> tuple[int, int]:
    """Find where the last lines of a file begin, reading it backwards.

    Args:
        path: the file; a file that cannot be read counts as empty.
        count: the maximum number of lines.
        with_rest: count the text after the last newline as a line.

    Returns:
        The offset of the first of these lines, and their number.
    """
    try:
        with files.reader(path) as stream:
            end = stream.seek(0, os.SEEK_END)
            if not with_rest:
                end = next(_newlines_before(end, stream), -1) + 1
            if count == 0 or end == 0:
                return end, 0
            # A line begins after each newline, and the first line at 0.
            found = islice(_newlines_before(end - 1, stream), count)
            begins = [*(place + 1 for place in found), 0][:count]
            return begins[-1], len(begins)
    except OSError:
        return 0, 0


def _newlines_before(end: int, stream: BinaryIO) -> Iterator[int]:
    while end > 0:
        begin = max(end - _CHUNK, 0)
        stream.seek(begin)
        block = stream.read(end - begin)
        place = len(block)
        while (place := block.rfind(b"\n", 0, place)) >= 0:
            yield begin + place
        end = begin


class Appended(Struct):
    """Hold complete lines that Codex has written: events, and lines of its stderr.

    With each event line is what it was decoded to; None if it was not decoded.
    """

    events: tuple[tuple[bytes, Event | None], ...] = ()
    errors: tuple[bytes, ...] = ()

    @property
    def text(self) -> str:
        """Render them for people."""
        return self.event_text + self.error_text

    @property
    def event_text(self) -> str:
        """Render the events."""
        return "".join(render(*each) for each in self.events)

    @property
    def error_text(self) -> str:
        """Render the lines of stderr."""
        return "".join(map(render_stderr, self.errors))

    @property
    def lines(self) -> list[bytes]:
        """Make them lines of a task log."""
        told = [task_log.event(*each) for each in self.events]
        return [*told, *map(task_log.stderr, self.errors)]


class RunTail:
    """Follow the output of one run, and summarise its events.

    Args:
        files: of the run.
        offsets: where to begin in its events and its standard error.
        arrivals: records when lines are read.
    """

    def __init__(
        self,
        files: RunFiles,
        offsets: tuple[int, int] = (0, 0),
        arrivals: Arrivals | None = None,
    ) -> None:
        self.summary = EventSummary()
        self._arrivals = arrivals
        self._events = Tail(files.events, offsets[0])
        self._stderr = Tail(files.stderr, offsets[1])

    @property
    def offsets(self) -> tuple[int, int]:
        """The bytes of events and of standard error that were read."""
        return self._events.offset, self._stderr.offset

    @property
    def has_grown(self) -> bool:
        """Whether there may be new data."""
        return self._events.has_grown or self._stderr.has_grown

    @property
    def has_more(self) -> bool:
        """Return whether the last read left something that was there."""
        return self._events.has_more or self._stderr.has_more

    def read(self) -> Appended:
        """Return the lines written since the last call."""
        feed = self.summary.feed
        events = tuple((line, feed(line)) for line in self._events.lines())
        errors = tuple(self._stderr.lines())
        if self._arrivals and (events or errors):
            grown_at = max(self._events.grown_at, self._stderr.grown_at)
            self._arrivals.note(self.offsets, grown_at)
        return Appended(events=events, errors=errors)

    def finish(self) -> Iterator[Appended]:
        """Yield the rest, including incomplete last lines."""
        yield self.read()
        while self.has_more:
            yield self.read()
        last, error = self._events.rest(), self._stderr.rest()
        events = ((last, self.summary.finish(last)),) if last else ()
        yield Appended(events=events, errors=(error,) if error else ())
        self._events.close()
        self._stderr.close()


def summary_of_events(run: Run) -> EventSummary:
    """Summarise the events of a run; empty when they cannot be read."""
    summary = EventSummary()
    with (
        suppress(OSError),
        files.reader(files_of(run.spec).events) as stream,
    ):
        summary.read(stream)
    return summary


class Doing(Struct, kw_only=False):
    """Hold what Codex does: a word, a text, and the seconds since its last event.

    It has done this `since` a time, in seconds since the epoch, if that is known; the
    event that began it is at the offset `begin`. `tries` counts reconnect messages;
    with `is_early` the model has not answered anything before them.
    """

    word: str
    text: str | None
    seconds: float
    since: float | None = None
    begin: int | None = None
    tries: int = 0
    is_early: bool = False


def doing(path: Path) -> Doing:
    """Return what Codex does now, from the end of a file of events.

    After a reconnect message it reconnects until an event shows that the model was
    reached, however long that takes: Codex tries less and less often.
    """
    status, (size, end) = files.status(path), files.read_end(path, _END_BYTES)
    written = clock.now().timestamp() if status is None else status.st_mtime
    quiet = clock.now().timestamp() - written
    whole, _, rest = end.rpartition(b"\n")
    begin = size - len(rest)
    if (lost := _lost(whole, begin)) is not None:
        since = written if lost.tries == 1 else None
        is_early = size == len(end) and _is_early(whole)
        return replace(lost, seconds=quiet, since=since, is_early=is_early)
    completed, last = set[str](), True
    for event, offset in _backwards(whole, begin):
        since, last = (written if last else None), False
        match event:
            case ItemEvent(phase="completed", item=item):
                completed.add(item.id)
            case ItemEvent(item=item) if item.id not in completed:
                if (word := _WORDS.get(type(item))) is not None:
                    return Doing(word, text_of(item), quiet, since, offset)
            case TurnStarted():
                break
            case _:
                pass
    return Doing("thinking", None, quiet)


def _lost(lines: bytes, end: int) -> Doing | None:
    """Count the reconnect messages at the end; None where the model was reached."""
    lost = None
    for event, offset in _backwards(lines, end):
        match event:
            case ErrorReported(message=text, is_reconnect=True):
                said, tries = (lost.text, lost.tries) if lost else (text, 0)
                lost = Doing("reconnecting", said, 0, None, offset, tries + 1)
            case ItemEvent(item=ItemError()):
                pass  # on the way Codex says that it changes the transport
            case _:
                break
    return lost


def _backwards(lines: bytes, end: int) -> Iterator[tuple[Event, int]]:
    """Yield the events of lines that end at an offset, the last first, and theirs."""
    for line in reversed(lines.split(b"\n")):
        end -= len(line) + 1
        yield decode(line), end


def _is_early(lines: bytes) -> bool:
    summary = EventSummary()
    summary.read_lines(line + b"\n" for line in lines.split(b"\n"))
    return not summary.has_answered


_WORDS = {
    Command: "command",
    FileChange: "editing",
    WebSearch: "searching",
    McpToolCall: "tool",
    CollabToolCall: "tool",
}


def text_of(item: Item) -> str | None:
    """Say what an item is about; None for what is no work of a tool."""
    match item:
        case Command(command=text) | WebSearch(query=text) | CollabToolCall(tool=text):
            return text
        case McpToolCall(server=server, tool=tool):
            return f"{server}.{tool}"
        case FileChange(changes=changes):
            return ", ".join(each.path for each in changes)
        case _:
            return None
