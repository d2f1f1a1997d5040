r"""Recognise event lines by their first and last bytes, without decoding them.

serde writes the fields of an event in one order in every version from 0.50, and escapes
each quote of a text. So `","exit_code":0,"status":"completed"}}` can only be the end of
a command, whatever its output says. What is between the two ends is not read.
"""

from __future__ import annotations

from parsers.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match, Pattern
    from typing import Final, Literal, TypeAlias

    Kind: TypeAlias = Literal["command", "message", "reasoning"]
    # The kind of a line, whether it is of a completed item, and its three fixed parts:
    # up to the id, from there to the first text, and from the end of the last text on.
    Frame: TypeAlias = tuple[Kind, bool, bytes, bytes, bytes]

_NAME_WITHIN: Final = 100  # bytes: where the name of an event stands
END_LENGTH: Final = 100  # a line with a longer end (of blanks) is not recognised
_KINDS: Final[dict[tuple[bytes, bytes], Kind]] = {
    (b"command_execution", b"command"): "command",
    (b"agent_message", b"text"): "message",
    (b"reasoning", b"text"): "reasoning",
}
_GOOD_CODES: Final = (None, b"null", b"0")
_FAILED: Final = (b"failed", b"declined")
_PADDING: Final = b" \t\r\n\0\xef\xbb\xbf"  # what `loose_json` takes around an object


def _pattern(text: bytes) -> Pattern[bytes]:
    """Compile a pattern in which a blank stands for any number of them."""
    return pattern(text.replace(b" ", b" *"))


# An id that is not plain ASCII is decoded, so that it is the same wherever it stands.
_HEAD: Final = _pattern(
    rb'\{ "type" : "item\.(started|completed)" , "item" : '
    rb'\{ "id" : "([^"\\\0-\x1f\x80-\xff]*)" , "type" : "([a-z_]+)" , "([a-z]+)" : "'
)
_COMMAND_END: Final = _pattern(
    rb'"(?: , "exit_code" : (null|0|-?[1-9][0-9]{0,9}))?'
    rb' , "status" : "([a-z_]+)" \} \}\s*\Z'
)
_TEXT_END: Final = _pattern(rb'(?<!\\)" \} \}\s*\Z')


class Seen:
    """What the two ends of a line say of its item."""

    __slots__ = ("_head", "_last", "id", "is_done", "is_failed", "kind")

    def __init__(self, kind: Kind, head: Match[bytes], last: Match[bytes]) -> None:
        self.kind: Kind = kind
        self.id = head[2]
        self.is_done = head[1] == b"completed"
        code, status = last.groups() if kind == "command" else (None, None)
        self.is_failed = code not in _GOOD_CODES or status in _FAILED
        self._head, self._last = head, last

    def frame(self) -> Frame:
        """Return what the line has in common with others of its kind."""
        head, last = self._head, self._last
        line = head.string
        before_id = bytes(line[head.start() : head.start(2)])
        after_id = bytes(line[head.end(2) : head.end()])
        rest = bytes(line[last.start() : last.end()])
        return self.kind, self.is_done, before_id, after_id, rest


def recognise(line: bytes | bytearray, begin: int, end: int) -> Seen | None:
    """Read the two ends of a line; None for a line that has to be decoded."""
    if line.find(b'"item.', begin, begin + _NAME_WITHIN) < 0:
        return None
    head = _HEAD.match(line, begin, end)
    kind = _KINDS.get((head[3], head[4])) if head else None
    if head is None or kind is None:
        return None
    pattern = _COMMAND_END if kind == "command" else _TEXT_END
    last = pattern.search(line, max(head.end(), end - END_LENGTH), end)
    if last is None or (kind != "command" and head[1] != b"completed"):
        return None
    return Seen(kind, head, last)


def is_broken(begin: bytes, end: bytes) -> bool:
    """Return whether the ends of a line prove that it holds no object."""
    if b"\x1b" in begin + end:  # a terminal sequence around an object is ignored
        return False
    first, last = begin.lstrip(_PADDING), end.rstrip(_PADDING)
    is_begun = not first or first.startswith(b"{")
    return not (is_begun and (not last or last.endswith(b"}")))
