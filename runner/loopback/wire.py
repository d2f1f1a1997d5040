"""Encode a reply as the server-sent events of a Responses API. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.loopback.reply import (
    Answer,
    Drop,
    FunctionCall,
    Message,
    Reasoning,
    Stall,
    StreamFailure,
    usage_of_call,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.loopback.reply import Item, Stream, Usage
    from runner.loopback.request import Request


def events(reply: Stream, request: Request) -> Iterator[bytes]:
    """Write a stream's events; a Drop or a Stall has none for its end."""
    response_id = f"resp_{request.thread_id}_{request.call_number}"
    yield _event("response.created", response={"id": response_id})
    match reply:
        case Answer(items=items, usage=usage):
            yield from _items(items, request)
            wire = usage_on_the_wire(usage or usage_of_call(request.call_number))
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
        yield _event("response.output_item.done", item=item_on_the_wire(item, name))


def _event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def item_on_the_wire(item: Item, name: str) -> dict[str, object]:
    """Write one item; `name` makes its ids unique in the thread."""
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


def usage_on_the_wire(usage: Usage) -> dict[str, object]:
    """Write a usage as `response.completed` carries it."""
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
