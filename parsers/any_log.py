"""Find out which kind of file a run has left, and read it."""

from __future__ import annotations

from io import BytesIO
from itertools import chain

from parsers import json_text, loose_json
from parsers.exec_events.summary import EventSummary
from parsers.facts import Facts
from parsers.lines import BLANK
from parsers.rollouts.read import read_rollout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedIOBase
    from typing import Final

    from parsers.facts import Kind

_LINES_LOOKED_AT: Final = 50
_TEXT_BEGINNINGS: Final = (b"codex_run_id=", b"OpenAI Codex v", b"session id: ")
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, Zstandard
_BEFORE_JSON: Final = BLANK + b"\xef\xbb\xbf"
_EVENT_BEGINNINGS: Final = ("thread.", "turn.", "item.", "error", "session.created")


def read_log(stream: BufferedIOBase, *, is_in_lines: bool = False) -> Facts:
    """Read a file of any kind to its end.

    Never raises on its contents. Needs as much memory as the longest line, of events
    the longest one that has to be decoded; a file that was saved as UTF-16, as an
    array or indented is read as a whole, unless `is_in_lines` rules these out.
    """
    head: list[bytes] = []
    kind: Kind | None = None
    for line in stream:
        head.append(line)
        kind = _kind(line)
        if kind is not None or len(head) == _LINES_LOOKED_AT:
            break
    first = next((line for line in head if line.strip(BLANK)), b"")
    if kind is None and not first:
        return Facts(kind="empty")
    if kind == "events":
        summary = EventSummary()
        summary.read_lines(head)
        summary.read(stream)
        return summary.facts()
    lines = chain(head, stream)
    if kind == "rollout":
        return read_rollout(lines).facts()
    if kind is None and not is_in_lines and (data := _in_lines(first, lines)):
        return read_log(BytesIO(data), is_in_lines=True)
    if kind is None and (unread := next(filter(None, map(_unread, head)), None)):
        return Facts(kind="log", unread=unread)
    from parsers.text_logs.read import read_text_log  # noqa: PLC0415 - 10 ms, rare

    return read_text_log(lines)


def _kind(line: bytes) -> Kind | None:
    if line.startswith(_TEXT_BEGINNINGS):
        return "log"
    fields = loose_json.load_or_empty(line)
    name = fields.get("type")
    if not isinstance(name, str):
        return None
    if "payload" in fields and "timestamp" in fields:
        return "rollout"
    return "events" if name.startswith(_EVENT_BEGINNINGS) else None


def _unread(line: bytes) -> str | None:
    """Name the format that a line is of, an older one of Codex or a compressed one."""
    if line.startswith(_COMPRESSED):
        return "compression"
    fields = loose_json.load_or_empty(line)
    if "id" in fields and "type" in loose_json.mapping(fields.get("msg")):
        return "events of Codex 0.43 and earlier"
    if fields.keys() >= {"id", "timestamp", "instructions"}:
        return "records of Codex before September 2025"
    return None


def _is_in_no_lines(first: bytes) -> bool:
    """Return whether a first line begins JSON that is not one object a line."""
    begin = first.lstrip(_BEFORE_JSON)
    is_array = begin.startswith(b"[") and begin[1:].strip()[:1] in {b"", b"{"}
    return is_array or (begin.startswith(b"{") and not loose_json.load_or_empty(first))


def _in_lines(first: bytes, lines: Iterable[bytes]) -> bytes | None:
    """Write each outermost object on a line; what is broken begins no object.

    None, and no line is taken, where the file is in lines already.
    """
    if first.startswith(_UTF_16):
        data = b"".join(lines).decode("utf-16", "replace").encode("utf-8", "replace")
        return _in_lines(data.lstrip().partition(b"\n")[0], [data]) or data
    if not _is_in_no_lines(first):
        return None
    from json import JSONDecoder  # noqa: PLC0415 - rare

    text, at = b"".join(lines).decode("utf-8", "replace"), 0
    decode, found = JSONDecoder(strict=False).raw_decode, [""]
    while (at := text.find("{", at)) >= 0:
        try:
            value, end = decode(text, at)
            found.append(json_text.dumps(value))
        except (ValueError, RecursionError):
            found.append(f"broken: {' '.join(text[at:].split())}")
            break
        at = end
    return "\n".join((*found, "")).encode("utf-8", "replace")
