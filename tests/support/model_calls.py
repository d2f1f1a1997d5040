"""Builds the model calls that Codex makes, as small as a responder needs them."""

import json
from collections.abc import Mapping, Sequence

from runner.loopback.request import Request, decode

Item = dict[str, object]


def user(text: str) -> Item:
    """Build a message in the user's name."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content}


def assistant(text: str) -> Item:
    """Build a message of the model's."""
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content}


def call(number: int = 1) -> Item:
    """Build a tool call of the model's."""
    return {"type": "function_call", "call_id": f"call_{number}", "name": "tool"}


def output(text: str, number: int = 1) -> Item:
    """Build what a tool call has given back."""
    kind = "function_call_output"
    return {"type": kind, "call_id": f"call_{number}", "output": text}


def body_of(
    items: Sequence[Item], tools: Sequence[str] = ("exec_command",)
) -> dict[str, object]:
    """Build the body of a model call."""
    named = [{"type": "function", "name": tool} for tool in tools]
    return {"model": "gpt-5.1-codex", "input": list(items), "tools": named}


def request_of(
    *items: Item,
    tools: Sequence[str] = ("exec_command",),
    headers: Mapping[str, str] | None = None,
) -> Request:
    """Build a decoded request whose history holds these items."""
    body = json.dumps(body_of(items, tools)).encode()
    return decode(body, headers or {"thread-id": "t1"})


def asked(prompt: str, *outputs: str) -> Request:
    """Build the call of a turn in which the tools have given back these texts."""
    items = [user(prompt)]
    for number, text in enumerate(outputs, 1):
        items += [call(number), output(text, number)]
    return request_of(*items)
