"""The events of `codex exec --json` as values (Codex 0.50 and later).

Every line gives one: broken lines and types not known yet are values too.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.accounting.tokens import read_usage
from parsers.exec_events import wire
from parsers.exec_events.items import read_item
from parsers.struct import Struct
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal, TypeAlias

    from parsers.exec_events.items import Item

    Phase = Literal["started", "updated", "completed"]
    from parsers.accounting.tokens import Usage

__all__ = [
    "ErrorReported",
    "Event",
    "ItemEvent",
    "ThreadStarted",
    "TurnCompleted",
    "TurnFailed",
    "TurnStarted",
    "Undecodable",
    "UnknownEvent",
    "decode",
]

_PHASES: Final[dict[str, Phase]] = {
    "item.started": "started",
    "item.updated": "updated",
    "item.completed": "completed",
}


class ThreadStarted(Struct):
    """Codex names its thread; the id is a UUID in lower case."""

    thread_id: str


class TurnStarted(Struct):
    """A prompt is being worked on."""


class ErrorReported(Struct):
    """An error at the top level; a reconnect is a note that the connection is retried.

    Only a `TurnFailed` after it makes it a failure.
    """

    message: str
    is_reconnect: bool


class ItemEvent(Struct):
    """Something the agent does begins, goes on, or is done."""

    phase: Phase
    item: Item


class UnknownEvent(Struct):
    """An event of a type that this version does not know; "" where it has none."""

    type: str


class Undecodable(Struct):
    """A line that holds no JSON object."""

    reason: str


def decode(line: bytes) -> Event:
    """Read one line; never raises, whatever the bytes."""
    try:
        fields = loose_json.load_object(line)
    except loose_json.NotAnObjectError as error:
        return Undecodable(reason=str(error))
    kind = loose_json.text(fields.get("type")) or ""
    phase = _PHASES.get(kind)
    if phase is not None:
        return ItemEvent(phase=phase, item=read_item(fields.get("item")))
    return _read_event(kind, fields)


def _read_event(kind: str, fields: Mapping[str, object]) -> Event:
    match kind:
        case "thread.started":
            thread_id = uuid(fields.get("thread_id"))
            if thread_id is not None:
                return ThreadStarted(thread_id=thread_id)
        case "turn.started":
            return TurnStarted()
        case "turn.completed":
            return TurnCompleted(usage=read_usage(fields.get("usage")))
        case "turn.failed":
            return TurnFailed(message=wire.failure(fields))
        case "error":
            message = wire.words(fields.get("message"))
            return ErrorReported(
                message=message, is_reconnect=wire.is_reconnect(message)
            )
        case _:
            pass
    return UnknownEvent(type=kind)


class TurnCompleted(Struct):
    """A turn that Codex finished; the usage is the thread's (0.50: the process's)."""

    usage: Usage | None


class TurnFailed(Struct):
    """A turn that Codex gave up, in its words."""

    message: str


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
