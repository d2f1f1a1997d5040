"""What the fields of a `codex exec --json` event are called, in any version from 0.50.

Readers of single facts out of decoded lines, shared by those who need all of an event
(`events`) and those who need one figure of it (`digest`).
"""

from __future__ import annotations

import json
import re

from parsers import loose_json
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# `Reconnecting... 1/5 (…)`, `Reconnecting... waiting for network (…)`, 0.50:
# `Re-connecting... 1/5`; the oldest: `stream error: …; retrying 1/5 in 200ms…`.
_RECONNECT = re.compile(
    r"\s*(?:re-?connecting\.\.\.|stream \w+\b.*\bretrying )", re.IGNORECASE
)


def words(value: object) -> str:
    """Read an error's text, whether it is a text, an object with one, or neither."""
    while isinstance(value, dict) and "message" in value:
        value = value["message"]
    found = loose_json.text(value)
    if found is not None:
        return found
    return "" if value is None else json.dumps(value)


def failure(event: Mapping[str, object]) -> str:
    """Read the text of a `turn.failed`."""
    return words(event.get("error", event.get("message"))) or "turn failed"


def is_reconnect(message: str) -> bool:
    """Tell Codex's notes on retrying a connection, which are no failures yet."""
    return _RECONNECT.match(message) is not None


def changes(item: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Read the (path, kind) pairs of a file change; kind: add, delete or update."""
    for change in loose_json.sequence(item.get("changes")):
        fields = loose_json.mapping(change)
        kind = fields.get("kind")
        if isinstance(kind, dict):
            kind = kind.get("type")
        path = loose_json.text(fields.get("path"))
        if path:
            yield path, loose_json.text(kind) or ""


def receivers(item: Mapping[str, object]) -> Iterator[str]:
    """Read the ids of the agent threads that a collaboration call is about."""
    for value in loose_json.sequence(item.get("receiver_thread_ids")):
        found = uuid(value)
        if found:
            yield found
