"""The records of a Codex rollout file, those that count sorted out as bytes.

`$CODEX_HOME/sessions/…/rollout-*.jsonl` is written by Codex itself, one record a line:
`{timestamp, [ordinal,] type, payload}` (0.50 to 0.169). Most bytes of it are messages
and outputs, which nothing here needs: such lines are told by their head, not decoded.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from parsers import loose_json
from parsers.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_HEAD: Final = re.compile(
    rb'\{"timestamp":"[^"\\]{1,40}",(?:"ordinal":[0-9]+,)?'
    rb'"type":"([a-z_]+)","payload":\{(?:"type":"([a-z_]+)")?'
)
_WANTED: Final = frozenset({b"session_meta", b"turn_context", b"token_usage_record"})
_WANTED_EVENTS: Final = frozenset(
    {
        b"agent_message",
        b"task_complete",
        b"task_started",
        b"thread_settings_applied",
        b"token_count",
        b"turn_aborted",
    }
)
_WANTED_ITEMS: Final = (
    b'"item":{"type":"AgentMessage"',
    b'"item":{"type":"CollabAgentToolCall"',
)
_LIMITS: Final = (b'"primary":{', b'"secondary":{')
_SPAWNED: Final = b'"output":"{\\"agent_id\\":'
_PLACE: Final = 400  # what tells items apart stands within so many bytes of their line
_META: Final = b'"type":"session_meta"'
_ENVELOPES: Final = ("event_msg", "response_item")
# The texts that make a first line long come last among what is needed of it; a quote
# inside of a string would be escaped, so these are fields.
_LONG_TEXTS: Final = (b',"base_instructions":', b',"instructions":')


class Record(Struct):
    """A record that counts; `kind` is the type of the payload, else of the record."""

    at: str
    kind: str
    payload: Mapping[str, object]


class Worth(Enum):
    """What a line is good for, as far as its beginning tells."""

    NOTHING = auto()
    TOTAL = auto()  # a `token_count` that names no limits
    ANYTHING = auto()


def worth_of(line: bytes) -> Worth:
    """Tell lines that need not be read from those that must be."""
    head = _HEAD.match(line)
    if head is None:
        return Worth.ANYTHING
    kind, inner = head.groups()
    if inner == b"token_count" and not any(limit in line for limit in _LIMITS):
        return Worth.TOTAL
    return Worth.ANYTHING if _is_wanted(line, kind, inner) else Worth.NOTHING


def read_record(line: bytes) -> Record:
    """Read a line.

    Raises:
        NotAnObjectError: the line is no record.
    """
    fields = loose_json.load_object(_without_long_texts(line))
    payload = loose_json.mapping(fields.get("payload"))
    inner = payload.get("type") if fields.get("type") in _ENVELOPES else None
    return Record(
        at=loose_json.text(fields.get("timestamp")) or "",
        kind=loose_json.text(inner) or loose_json.text(fields.get("type")) or "",
        payload=payload,
    )


def _is_wanted(line: bytes, kind: bytes, inner: bytes | None) -> bool:
    if kind == b"event_msg":
        if inner == b"item_completed":
            start = line[:_PLACE]
            return any(item in start for item in _WANTED_ITEMS)
        return inner in _WANTED_EVENTS
    if kind == b"response_item":
        return inner == b"function_call_output" and _SPAWNED in line[:_PLACE]
    return kind in _WANTED


def _without_long_texts(line: bytes) -> bytes:
    """Cut a first line where its texts begin: they can be longer than all the rest."""
    if _META not in line[:_PLACE]:
        return line
    for field in _LONG_TEXTS:
        head, found, _ = line.partition(field)
        if found:
            return head + b"}}"
    return line
