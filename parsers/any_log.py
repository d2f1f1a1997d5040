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
    from collections.abc import Callable
    from io import BufferedIOBase
    from typing import Final

    from parsers.facts import Kind

_LINES_LOOKED_AT: Final = 50
_TEXT_BEGINNINGS: Final = (b"codex_run_id=", b"OpenAI Codex v", b"session id: ")
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_BEFORE_JSON: Final = BLANK + b"\xef\xbb\xbf"
_EVENT_BEGINNINGS: Final = ("thread.", "turn.", "item.", "error", "session.created")


def read_log(stream: BufferedIOBase) -> Facts:
    """Read a file of any kind to its end.

    Never raises on its contents. Needs as much memory as the longest line, of events
    the longest one that has to be decoded; a file that was saved as UTF-16, as an
    array or indented is read as a whole.
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
    if kind is None and (form := _form(first)) is not None:
        return read_log(BytesIO(form(b"".join(lines))))
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
    """Name the older format of Codex that a line is of."""
    fields = loose_json.load_or_empty(line)
    if "id" in fields and "type" in loose_json.mapping(fields.get("msg")):
        return "events of Codex 0.43 and earlier"
    if fields.keys() >= {"id", "timestamp", "instructions"}:
        return "records of Codex before September 2025"
    return None


def _form(first: bytes) -> Callable[[bytes], bytes] | None:
    """Choose how to make lines of a file whose lines are no objects."""
    if first.startswith(_UTF_16):
        return _from_utf_16
    begin = first.lstrip(_BEFORE_JSON)
    is_array = begin.startswith(b"[") and begin[1:].strip()[:1] in {b"", b"{"}
    is_cut = begin.startswith(b"{") and not loose_json.load_or_empty(first)
    return _lines_of_objects if is_array or is_cut else None


def _from_utf_16(data: bytes) -> bytes:
    return data.decode("utf-16", "replace").encode("utf-8", "replace")


def _lines_of_objects(data: bytes) -> bytes:
    """Write each outermost object on a line; what is broken begins no object."""
    from json import JSONDecoder  # noqa: PLC0415 - rare

    text, at = data.decode("utf-8", "replace"), 0
    decode, lines = JSONDecoder(strict=False).raw_decode, [""]
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decode(text, at)
        except (ValueError, RecursionError):
            lines.append(f"broken: {' '.join(text[at:].split())}")
            break
        lines.append(json_text.dumps(value))
    return "\n".join((*lines, "")).encode("utf-8", "replace")
