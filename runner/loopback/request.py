"""A model request of Codex: one POST, decoded into values.

A request has the whole history of its thread. So a responder needs no state, and can
answer any number of threads at once, including resumed threads and sub-agents.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    Json: TypeAlias = "Mapping[str, object]"

# Codex adds messages with the role `user` that describe the environment to the model.
_INJECTED = re.compile(
    r"\s*(<(environment_context|subagent_notification|turn_aborted|user_instructions"
    r"|user_shell_command|skill)\b|# AGENTS\.md instructions)"
)
_MODEL_ITEMS = frozenset(
    {"reasoning", "function_call", "custom_tool_call", "local_shell_call"}
)
_OUTPUT_ITEMS = frozenset({"function_call_output", "custom_tool_call_output"})


class MalformedRequestError(ValueError):
    """The body is not a JSON object that a Responses API would accept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """The output of one tool call."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One model call.

    Attributes:
        prompt: The last message that a person (or a parent agent) has written.
        outputs: Of tool calls since that prompt, in order.
        call_number: 1 for a thread's first model call; counted in the history that
            the request carries, so a call that failed is not counted.
        turn: Codex's turn metadata: `turn_id`, `root_turn_id`, `request_kind`, …
        headers: By lower-case name.
    """

    model: str
    prompt: str
    outputs: tuple[ToolOutput, ...]
    call_number: int
    thread_id: str
    tools: frozenset[str]
    turn: Json
    headers: Mapping[str, str]
    body: Json

    @property
    def has_tools(self) -> bool:
        """Return whether commands can be run: false when Codex only wants a title."""
        return "exec_command" in self.tools

    @property
    def parent_thread_id(self) -> str | None:
        """Return the id of the thread that spawned this one."""
        return self.headers.get("x-codex-parent-thread-id")


def decode(body: bytes, headers: Mapping[str, str]) -> Request:
    """Read a request.

    Raises:
        MalformedRequestError: the body is not a JSON object.
    """
    fields = _load(body)
    items = _objects(fields.get("input"))
    try:
        turn = _load(headers.get("x-codex-turn-metadata", "").encode())
    except MalformedRequestError:
        turn = {}
    position, prompt = _last_prompt(items)
    return Request(
        model=str(fields.get("model", "")),
        prompt=prompt,
        outputs=tuple(
            ToolOutput(
                call_id=str(item.get("call_id", "")), text=_text(item.get("output"))
            )
            for item in items[position:]
            if item.get("type") in _OUTPUT_ITEMS
        ),
        call_number=1 + _count_replies(items),
        thread_id=headers.get("thread-id") or str(turn.get("thread_id", "unknown")),
        tools=frozenset(
            str(tool.get("name")) for tool in _objects(fields.get("tools"))
        ),
        turn=turn,
        headers=headers,
        body=fields,
    )


def _load(body: bytes) -> Json:
    try:
        value: object = json.loads(body)
    except ValueError as error:
        msg = f"the body is not JSON: {error}"
        raise MalformedRequestError(msg) from error
    if not isinstance(value, dict):
        raise MalformedRequestError("the body is not a JSON object")
    return value


def _objects(value: object) -> Sequence[Json]:
    match value:
        case str(text):
            return [{"type": "message", "role": "user", "content": text}]
        case list(items):
            return [item for item in items if isinstance(item, dict)]
        case _:
            return []


def _last_prompt(items: Sequence[Json]) -> tuple[int, str]:
    for position in range(len(items) - 1, -1, -1):
        if items[position].get("role") == "user":
            text = _text(items[position].get("content"))
            if not _INJECTED.match(text):
                return position, text
    return 0, ""


def _text(content: object) -> str:
    match content:
        case str(text):
            return text
        case list(parts):
            return "".join(str(p.get("text", "")) for p in parts if isinstance(p, dict))
        case _:
            return ""


def _count_replies(items: Iterable[Json]) -> int:
    """Count the groups of consecutive items of the model: one group for each reply."""
    authored = [
        item.get("type") in _MODEL_ITEMS or item.get("role") == "assistant"
        for item in items
    ]
    return sum(now and not before for before, now in pairwise([False, *authored]))
