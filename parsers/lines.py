"""Split byte streams into lines; an unfinished last line is kept apart, never lost."""

from __future__ import annotations

BLANK = b" \t\r\n\0"  # what a line without any content may consist of


class LineBuffer:
    """Joins chunks that end anywhere to complete lines.

    It searches each chunk once: a long line costs no more in many chunks than in one.
    """

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Add a chunk; return the lines that it completes, without their newlines."""
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
        """The unfinished line after the last newline."""
        self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]
