"""Split byte streams into lines; an unfinished last line is kept apart, never lost."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


class LineBuffer:
    """Complete lines out of chunks that end anywhere.

    A chunk is looked at once: a long line costs no more in many chunks than in one.
    """

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Take a chunk; give the lines that it completes, without their newlines."""
        head, newline, rest = data.partition(b"\n")
        if not newline:
            self._chunks.append(data)
            return []
        first = b"".join((*self._chunks, head))
        lines = rest.split(b"\n")
        self._chunks = [lines.pop()]
        return [first, *lines]

    @property
    def pending(self) -> bytes:
        """The unfinished rest after the last newline."""
        self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]


class LineReader:
    """The lines of a stream, without their newlines, in the memory of one line.

    Once it is through, `is_unfinished` tells whether the last line lacked its newline.
    """

    __slots__ = ("_stream", "is_unfinished")

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.is_unfinished = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._stream)
        if line.endswith(b"\n"):
            return line[:-1]
        self.is_unfinished = True
        return line


def read_lines(stream: BinaryIO) -> LineReader:
    """Iterate over a stream's lines, a last one without newline included."""
    return LineReader(stream)
