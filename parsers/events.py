"""The events of `codex exec --json` as values (Codex 0.50 and later).

Every line gives one: broken lines and types not known yet are values too.
"""

from __future__ import annotations

from parsers import untrusted, uuids, wire
from parsers.items import read_item
from parsers.turns import TurnCompleted, TurnFailed
from parsers.usage import read_usage
from parsers.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal, TypeAlias

    from parsers.items import Item

    Phase = Literal["started", "updated", "completed"]

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


class ThreadStarted(Value):
    """Codex names its thread; the id is a UUID in lower case."""

    thread_id: str


class TurnStarted(Value):
    """A prompt is being worked on."""


class ErrorReported(Value):
    """An error at the top level; a reconnect is a note that the connection is retried.

    Only a `TurnFailed` after it makes it a failure.
    """

    message: str
    is_reconnect: bool


class ItemEvent(Value):
    """Something the agent does begins, goes on, or is done."""

    phase: Phase
    item: Item


class UnknownEvent(Value):
    """An event of a type that this version does not know; "" where it has none."""

    type: str


class Undecodable(Value):
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
    """Read one line; never raises, whatever the bytes."""
    try:
        fields = untrusted.load_object(line)
    except untrusted.NotAnObjectError as error:
        return Undecodable(reason=str(error))
    kind = untrusted.text(fields.get("type")) or ""
    phase = _PHASES.get(kind)
    if phase is not None:
        return ItemEvent(phase=phase, item=read_item(fields.get("item")))
    return _read_event(kind, fields)


def _read_event(kind: str, fields: Mapping[str, object]) -> Event:
    match kind:
        case "thread.started":
            thread_id = uuids.uuid(fields.get("thread_id"))
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
