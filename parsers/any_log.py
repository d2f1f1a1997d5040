"""Find out which kind of file a run has left, and read it."""

from __future__ import annotations

from itertools import chain

from parsers import loose_json
from parsers.exec_events.summary import EventSummary
from parsers.facts import Facts
from parsers.lines import BLANK
from parsers.rollouts.read import read_rollout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedIOBase
    from typing import Final

    from parsers.facts import Kind

_LINES_LOOKED_AT: Final = 50
_TEXT_BEGINNINGS: Final = (b"codex_run_id=", b"OpenAI Codex v", b"session id: ")
_EVENT_BEGINNINGS: Final = ("thread.", "turn.", "item.", "error")


def read_log(stream: BufferedIOBase) -> Facts:
    """Read a file of any kind to its end.

    Never raises on its contents. Needs as much memory as the longest line, of events
    the longest one that has to be decoded.
    """
    head: list[bytes] = []
    kind: Kind | None = None
    for line in stream:
        head.append(line)
        kind = _kind(line)
        if kind is not None or len(head) == _LINES_LOOKED_AT:
            break
    if kind is None and not any(line.strip(BLANK) for line in head):
        return Facts(kind="empty")
    if kind == "events":
        summary = EventSummary()
        summary.read_lines(head)
        summary.read(stream)
        return summary.facts()
    lines = chain(head, stream)
    if kind == "rollout":
        return read_rollout(lines).facts()
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
