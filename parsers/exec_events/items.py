"""The items inside `item.*` events, as `codex exec --json` writes them (0.50 to 0.169).

`changes`, `receivers` and `error_text` read one field each; the rollout reader uses
them too, because a rollout names these fields alike.
"""

from __future__ import annotations

import json

from parsers import loose_json
from parsers.struct import Struct
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias


class Command(Struct):
    """A shell command; status: in_progress, completed, failed or declined."""

    id: str
    command: str
    output: str
    exit_code: int | None
    status: str


class Change(Struct):
    """One file of a file change; kind: add, delete or update."""

    path: str
    kind: str


class FileChange(Struct):
    """Edits of files made by one patch."""

    id: str
    changes: tuple[Change, ...]
    status: str


class AgentMessage(Struct):
    """A message of the agent to the user; the last one of a turn is its answer."""

    id: str
    text: str


class Reasoning(Struct):
    """A summary of the model's reasoning."""

    id: str
    text: str


class McpToolCall(Struct):
    """A call of an MCP server's tool; `result` is the text of its result."""

    id: str
    server: str
    tool: str
    status: str
    result: str
    error: str | None


class WebSearch(Struct):
    """A search on the web; its line has two fields `id`, and the item's own is lost."""

    id: str
    query: str


class Todo(Struct):
    """One step of the agent's plan."""

    text: str
    is_done: bool


class TodoList(Struct):
    """The agent's present plan."""

    id: str
    todos: tuple[Todo, ...]


class CollabToolCall(Struct):
    """A call that uses threads of agents; tool: spawn_agent, wait, send_input, …."""

    id: str
    tool: str
    receiver_thread_ids: tuple[str, ...]
    status: str
    prompt: str | None


class ItemError(Struct):
    """A warning, which does not end the turn."""

    id: str
    message: str


class UnknownItem(Struct):
    """An item of a type that this version does not know."""

    id: str
    type: str


Item: TypeAlias = (
    Command
    | FileChange
    | AgentMessage
    | Reasoning
    | McpToolCall
    | WebSearch
    | TodoList
    | CollabToolCall
    | ItemError
    | UnknownItem
)


def read_item(value: object) -> Item:
    """Read an event's `item`, whatever it holds."""
    fields = loose_json.mapping(value)
    kind = _text(fields, "type")
    reader = _READERS.get(kind)
    if reader is None:
        return UnknownItem(id=_text(fields, "id"), type=kind)
    return reader(fields)


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
    """Read the ids of the agent threads that a collaboration call names."""
    for value in loose_json.sequence(item.get("receiver_thread_ids")):
        found = uuid(value)
        if found:
            yield found


def error_text(value: object) -> str:
    """Read an error: a text, an object with a message, or any other JSON value."""
    while isinstance(value, dict) and "message" in value:
        value = value["message"]
    found = loose_json.text(value)
    if found is not None:
        return found
    return "" if value is None else json.dumps(value)


def _text(fields: Mapping[str, object], name: str) -> str:
    return loose_json.text(fields.get(name)) or ""


def _command(fields: Mapping[str, object]) -> Command:
    return Command(
        id=_text(fields, "id"),
        command=_text(fields, "command"),
        output=_text(fields, "aggregated_output"),
        exit_code=loose_json.integer(fields.get("exit_code")),
        status=_text(fields, "status"),
    )


def _file_change(fields: Mapping[str, object]) -> FileChange:
    return FileChange(
        id=_text(fields, "id"),
        changes=tuple(Change(path=path, kind=kind) for path, kind in changes(fields)),
        status=_text(fields, "status"),
    )


def _agent_message(fields: Mapping[str, object]) -> AgentMessage:
    return AgentMessage(id=_text(fields, "id"), text=_text(fields, "text"))


def _reasoning(fields: Mapping[str, object]) -> Reasoning:
    return Reasoning(id=_text(fields, "id"), text=_text(fields, "text"))


def _mcp_tool_call(fields: Mapping[str, object]) -> McpToolCall:
    error = fields.get("error")
    return McpToolCall(
        id=_text(fields, "id"),
        server=_text(fields, "server"),
        tool=_text(fields, "tool"),
        status=_text(fields, "status"),
        result=_result_text(loose_json.mapping(fields.get("result"))),
        error=None if error is None else error_text(error),
    )


def _result_text(result: Mapping[str, object]) -> str:
    blocks = [
        _text(loose_json.mapping(block), "text")
        for block in loose_json.sequence(result.get("content"))
    ]
    structured = result.get("structured_content")
    if not any(blocks) and structured is not None:
        blocks = [json.dumps(structured, ensure_ascii=False, default=str)]
    return "\n".join(block for block in blocks if block)


def _web_search(fields: Mapping[str, object]) -> WebSearch:
    action = loose_json.mapping(fields.get("action"))
    query = _text(fields, "query") or _text(action, "query") or _text(action, "url")
    return WebSearch(id=_text(fields, "id"), query=query)


def _todo_list(fields: Mapping[str, object]) -> TodoList:
    steps = map(loose_json.mapping, loose_json.sequence(fields.get("items")))
    return TodoList(
        id=_text(fields, "id"),
        todos=tuple(
            Todo(text=_text(step, "text"), is_done=step.get("completed") is True)
            for step in steps
        ),
    )


def _collab_tool_call(fields: Mapping[str, object]) -> CollabToolCall:
    return CollabToolCall(
        id=_text(fields, "id"),
        tool=_text(fields, "tool"),
        receiver_thread_ids=tuple(receivers(fields)),
        status=_text(fields, "status"),
        prompt=loose_json.text(fields.get("prompt")),
    )


def _item_error(fields: Mapping[str, object]) -> ItemError:
    return ItemError(id=_text(fields, "id"), message=error_text(fields.get("message")))


_READERS: dict[str, Callable[[Mapping[str, object]], Item]] = {
    "command_execution": _command,
    "file_change": _file_change,
    "agent_message": _agent_message,
    "reasoning": _reasoning,
    "mcp_tool_call": _mcp_tool_call,
    "web_search": _web_search,
    "todo_list": _todo_list,
    "collab_tool_call": _collab_tool_call,
    "error": _item_error,
}
