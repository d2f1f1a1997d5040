"""The lines of `codex exec --json` as values (Codex 0.50 to 0.169).

Every line gives one: a broken line and an event of a later version are values too.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.accounting.tokens import read_usage
from parsers.exec_events.items import error_text, read_item
from parsers.light import pattern
from parsers.struct import Struct
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal, TypeAlias

    from parsers.accounting.tokens import Usage
    from parsers.exec_events.items import Item

    Phase = Literal["started", "updated", "completed"]

_PHASES: Final[dict[str, Phase]] = {
    "item.started": "started",
    "item.updated": "updated",
    "item.completed": "completed",
}
# `Reconnecting... 1/5 (…)`, `Reconnecting... waiting for network (…)`, 0.50:
# `Re-connecting... 1/5`; the oldest: `stream error: …; retrying 1/5 in 200ms…`.
_RECONNECT: Final = pattern(
    r"(?i)\s*(?:re-?connecting\.\.\.|stream \w+\b.*\bretrying )"
)
_BROKEN: Final = (
    *("stream disconnected before completion", "Incomplete response"),
    "ran out of room in the model's context window",  # `response.failed`
)


class ThreadStarted(Struct):
    """Codex names its thread; the id is a UUID in lower case."""

    thread_id: str


class TurnStarted(Struct):
    """Codex has taken the prompt; its first model request comes after this."""


class TurnCompleted(Struct):
    """A turn that Codex finished; the usage is the thread's (0.50: the process's)."""

    usage: Usage | None


class TurnFailed(Struct):
    """A turn that Codex gave up, with Codex's message."""

    message: str


class ErrorReported(Struct):
    """An error at the top level; a reconnect says that the connection is retried.

    Only a `TurnFailed` after it makes it a failure.
    """

    message: str
    is_reconnect: bool


class ItemEvent(Struct):
    """An item begins, is updated, or is completed."""

    phase: Phase
    item: Item


class UnknownEvent(Struct):
    """An event of a type that this version does not know; "" where it has none."""

    type: str


class Undecodable(Struct):
    """A line that holds no JSON object."""

    reason: str


Event: TypeAlias = (
    ThreadStarted
    | TurnStarted
    | TurnCompleted
    | TurnFailed
    | ErrorReported
    | ItemEvent
    | UnknownEvent
    | Undecodable
)


def decode(line: bytes) -> Event:
    """Read one line; never raises on its contents."""
    try:
        fields = loose_json.load_object(line)
    except loose_json.NotAnObjectError as error:
        return Undecodable(reason=str(error))
    kind = loose_json.text(fields.get("type")) or ""
    phase = _PHASES.get(kind)
    if phase is not None:
        return ItemEvent(phase=phase, item=read_item(fields.get("item")))
    return _read_event(kind, fields)


def is_reconnect(message: str) -> bool:
    """Return whether an error is only a reconnect message, not a failure."""
    return _RECONNECT.match(message) is not None


def is_broken_stream(message: str | None) -> bool:
    """Return whether a model call was accepted, and then failed without its usage."""
    words = message or ""
    is_refused = "error sending request" in words
    return any(each in words for each in _BROKEN) and not is_refused


def _read_event(kind: str, fields: Mapping[str, object]) -> Event:
    match kind:
        # 0.42 to 0.44 say `session.created` and `session_id`.
        case "thread.started" | "session.created" if thread_id := uuid(
            fields.get("thread_id") or fields.get("session_id")
        ):
            return ThreadStarted(thread_id=thread_id)
        case "turn.started":
            return TurnStarted()
        case "turn.completed":
            return TurnCompleted(usage=read_usage(fields.get("usage")))
        case "turn.failed":
            message = error_text(fields.get("error", fields.get("message")))
            return TurnFailed(message=message or "turn failed")
        case "error":
            message = error_text(fields.get("message"))
            return ErrorReported(message=message, is_reconnect=is_reconnect(message))
        case _:
            return UnknownEvent(type=kind)
