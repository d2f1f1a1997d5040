r"""Recognise event lines by their first and last bytes, without decoding them.

serde writes the fields of an event in one order in every version from 0.50, and escapes
each quote of a text. So `,"exit_code":0,"status":"completed"}}` can only be the end of
a command, whatever its output says. What is between the two ends is not read.
"""

from __future__ import annotations

from parsers.exec_events.items import REFUSED
from parsers.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal, TypeAlias

    # What a line is of: the first three are of a command.
    Kind: TypeAlias = Literal["started", "succeeded", "failed", "message", "reasoning"]

_TEXTS: Final = ("message", "reasoning")
BACKSLASH: Final = ord("\\")
END_LENGTH: Final = 100  # a line with a longer end (of blanks) is not recognised
_NAMES_WITHIN: Final = 100  # bytes: where the first two names of an event stand
_BLANKS: Final = b" \t"
_PADDING: Final = b" \t\r\n\0\xef\xbb\xbf"  # what `loose_json` takes around an object
_REFUSED: Final = pattern(b'"aggregated_output" *: *"' + REFUSED.encode())


class Dialect:
    """The fixed parts of the lines of one writer, who is free in the blanks.

    Attributes:
        frames: what a line has up to its id, and each kind that begins so: from the id
            to the first text, and the end.
        started, command, running: these parts of a command that starts.
        ending: from the end of that line to the id in the next one, if this is the
            end of the command: `succeeded` or `failed` is the end of it.
    """

    def __init__(self, brace: bytes, comma: bytes, colon: bytes, end: bytes) -> None:
        def spaced(text: bytes) -> bytes:
            text = text.replace(b"{", brace)
            return text.replace(b",", comma).replace(b":", colon)

        self.spacing = brace, comma, colon, end
        self.started = spaced(b'{"type":"item.started","item":{"id":"')
        self.completed = spaced(b'{"type":"item.completed","item":{"id":"')
        self.command = spaced(b'","type":"command_execution","command":"')
        message = spaced(b'","type":"agent_message","text":"')
        reasoning = spaced(b'","type":"reasoning","text":"')
        self.running = spaced(b',"status":"in_progress"') + end
        self.succeeded = spaced(b',"exit_code":0,"status":"completed"') + end
        self.failed = spaced(b',"status":"failed"') + end
        self.last = end
        self.ending = self.running + self.completed
        self.frames: tuple[tuple[bytes, tuple[tuple[Kind, bytes, bytes], ...]], ...] = (
            (self.started, (("started", self.command, self.running),)),
            (
                self.completed,
                (
                    ("message", message, b'"' + end),
                    ("succeeded", self.command, self.succeeded),
                    ("failed", self.command, self.failed),
                    ("reasoning", reasoning, b'"' + end),
                ),
            ),
        )

    def recognise(
        self, line: bytes | bytearray, begin: int, end: int
    ) -> tuple[Kind, bytes] | None:
        """Read the kind of a line and a command's id; None if it has to be decoded."""
        starts, ends = line.startswith, line.endswith
        for before_id, kinds in self.frames:
            if not starts(before_id, begin):
                continue
            start = begin + len(before_id)
            stop = line.find(b'"', start, end)
            for kind, after_id, last in kinds:
                if starts(after_id, stop) and ends(last, stop + len(after_id), end):
                    if kind in _TEXTS:  # an escaped quote does not end it
                        is_whole = line[end - len(last) - 1] != BACKSLASH
                        return (kind, b"") if is_whole else None
                    item_id = bytes(line[start:stop])
                    # An escaped id is decoded, so that it is the same everywhere.
                    is_plain = item_id.isascii() and BACKSLASH not in item_id
                    return (kind, item_id) if is_plain else None
        return None

    def is_of(self, line: bytes | bytearray, begin: int, end: int) -> bool:
        """Return whether the line of an item is written like this."""
        begins = line.startswith((self.started, self.completed), begin)
        return begins and line.endswith(self.last, begin, end)


def spacing(
    line: bytes | bytearray, begin: int, end: int
) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Return what the `Dialect` of an item's line is made of."""
    last = bytes(line[max(begin, end - END_LENGTH) : end]).rpartition(b'"')[2]
    match bytes(line[begin : min(begin + _NAMES_WITHIN, end)]).split(b'"'):
        case [brace, b"type", colon, name, comma, b"item", *_] if (
            name.startswith(b"item.")
            and brace.rstrip(_BLANKS) == b"{"
            and (colon.strip(_BLANKS), comma.strip(_BLANKS)) == (b":", b",")
            and last.translate(None, _BLANKS + b"\r\n") == b"}}"
        ):
            return brace, comma, colon, last
        case _:
            return None


def is_refused(line: bytes | bytearray, begin: int, end: int) -> bool:
    """Return whether a failed command failed because the sandbox cannot start."""
    return _REFUSED.search(line, begin, end) is not None


def is_broken(begin: bytes, end: bytes) -> bool:
    """Return whether the ends of a line prove that it holds no object."""
    if b"\x1b" in begin + end:  # a terminal sequence around an object is ignored
        return False
    first, last = begin.lstrip(_PADDING), end.rstrip(_PADDING)
    is_begun = not first or first.startswith(b"{")
    return not (is_begun and (not last or last.endswith(b"}")))
