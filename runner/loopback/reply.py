"""The replies that a model can give, as values and as server-sent events.

Usage differs from call to call (`usage_of_call`), so that a sum that counts a call
twice or misses one is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.loopback.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one model call; cached and cache-write are parts of the input."""

    input_tokens: int
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int
    reasoning_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A message to the user; alone in an answer it ends the turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A summary of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a tool; Codex runs the tool and sends its output with the next call."""

    name: str
    arguments: Mapping[str, object]
    namespace: str | None = None


Item = Message | Reasoning | FunctionCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete response; without a usage it reports `usage_of_call`."""

    items: tuple[Item, ...]
    usage: Usage | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFailure:
    """An HTTP error instead of a stream."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFailure:
    """A `response.failed` event: the end of a request that was accepted."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A stream that is closed after these items and before its end."""

    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A stream that begins, sends nothing for some seconds, and is closed."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Another reply that is sent after some seconds; nothing is sent before."""

    seconds: float
    reply: Reply


Stream = Answer | StreamFailure | Drop | Stall
Reply = Stream | HttpFailure | Delay
Responder = Callable[[Request], Reply]


def usage_of_call(number: int) -> Usage:
    """Return the default usage of a thread's n-th model call.

    Input 1000 + 100n, of which cached 500 + 10n; output 50 + 7n, of which reasoning
    10 + n.
    """
    return Usage(
        input_tokens=1000 + 100 * number,
        cached_input_tokens=500 + 10 * number,
        output_tokens=50 + 7 * number,
        reasoning_output_tokens=10 + number,
    )


def events(reply: Stream, request: Request) -> Iterator[bytes]:
    """Encode a stream as a Responses API does; a Drop or a Stall has no end."""
    response_id = f"resp_{request.thread_id}_{request.call_number}"
    yield _event("response.created", response={"id": response_id})
    match reply:
        case Answer(items=items, usage=usage):
            yield from _items(items, request)
            wire = _usage_on_the_wire(usage or usage_of_call(request.call_number))
            completed = {"id": response_id, "usage": wire}
            yield _event("response.completed", response=completed)
        case StreamFailure(code=code, message=message):
            error = {"code": code, "message": message}
            failed = {"id": response_id, "status": "failed", "error": error}
            yield _event("response.failed", response=failed)
        case Drop(items=items):
            yield from _items(items, request)
        case Stall():
            pass


def _items(items: tuple[Item, ...], request: Request) -> Iterator[bytes]:
    for index, item in enumerate(items, 1):
        name = f"{request.call_number}_{index}"
        # The number of the call makes the ids unique in the thread.
        yield _event("response.output_item.done", item=_item_on_the_wire(item, name))


def _event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _item_on_the_wire(item: Item, name: str) -> dict[str, object]:
    match item:
        case Message(text):
            content = [{"type": "output_text", "text": text}]
            kind = {"type": "message", "id": f"msg_{name}", "role": "assistant"}
            return {**kind, "content": content}
        case Reasoning(text):
            summary = [{"type": "summary_text", "text": text}]
            return {"type": "reasoning", "id": f"rs_{name}", "summary": summary}
        case FunctionCall(tool, arguments, namespace):
            place = {} if namespace is None else {"namespace": namespace}
            return {
                "type": "function_call",
                "id": f"fc_{name}",
                "call_id": f"call_{name}",
                "name": tool,
                "arguments": json.dumps(arguments),
                **place,
            }


def _usage_on_the_wire(usage: Usage) -> dict[str, object]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_input_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_output_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
