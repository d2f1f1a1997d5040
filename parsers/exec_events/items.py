"""The items inside `item.*` events, as `codex exec --json` writes them (0.50 to 0.169).

`receivers` and `error_text` read one field each; the rollout reader uses them too,
because a rollout names these fields alike.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.light import pattern
from parsers.struct import Struct
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Final, TypeAlias


# The beginning of the output of a command when the sandbox cannot start.
REFUSED: Final = (
    r"(?:bwrap: (?!execvp )|sandbox-exec: sandbox_apply: "
    r"|thread 'main' (?:\(\d+\) )?panicked at linux-sandbox/)"
)

# `/bin/bash -lc`, `/usr/bin/env bash -c`
_SHELL: Final = r"(?:\S*/)?(?:env +(?:\S*/)?)?(?:ba|z|da|k)?sh +-l?c +(?=\S)"


class _Item(Struct):
    id: str = ""  # a rollout's items have none


def typed(command: str) -> str:
    """Return what a person would have typed: not the shell that Codex runs it with."""
    import shlex  # noqa: PLC0415 - 5 ms, only where a command is shown

    match = pattern(_SHELL).match(command)
    if match is None:
        return command
    rest = command[match.end() :]
    try:
        words = shlex.split(rest)
    except ValueError:  # it was cut within quotes
        return rest.lstrip("'\"")
    return words[0] if len(words) == 1 else rest


class Command(_Item):
    """A shell command; status: in_progress, completed, failed or declined."""

    command: str
    output: str
    exit_code: int | None
    status: str

    @property
    def is_refused(self) -> bool:
        """Whether it failed because the sandbox cannot start."""
        return pattern(REFUSED).match(self.output) is not None


class Change(Struct):
    """One file of a file change; kind: add, delete or update."""

    path: str
    kind: str


class FileChange(_Item):
    """Edits of files made by one patch."""

    changes: tuple[Change, ...]
    status: str


class AgentMessage(_Item):
    """A message of the agent to the user; the last one of a turn is its answer."""

    text: str


class Reasoning(_Item):
    """A summary of the model's reasoning."""

    text: str


class McpToolCall(_Item):
    """A call of an MCP server's tool; `result` is the text of its result."""

    server: str
    tool: str
    status: str
    result: str
    error: str | None


class WebSearch(_Item):
    """A search on the web; its line has two fields `id`, and the item's own is lost."""

    query: str


class Todo(Struct):
    """One step of the agent's plan."""

    text: str
    is_done: bool


class TodoList(_Item):
    """The agent's present plan."""

    todos: tuple[Todo, ...]


class CollabToolCall(_Item):
    """A call that uses threads of agents; tool: spawn_agent, wait, send_input, …."""

    tool: str
    receiver_thread_ids: tuple[str, ...]
    status: str
    prompt: str | None


class ItemError(_Item):
    """A warning, which does not end the turn."""

    message: str


class UnknownItem(_Item):
    """An item of a type that this version does not know."""

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
    """Read an event's `item`; never raises on its contents."""
    item = loose_json.mapping(value)
    if "item_type" in item and "type" not in item:  # 0.42 to 0.44
        item = {**item, "type": item["item_type"]}
    kind = _text(item, "type")
    made = AgentMessage if kind == "assistant_message" else ITEMS.get(kind, UnknownItem)
    values: dict[str, Any] = {}
    for name in made.field_names():
        reader = _READERS.get(name)
        values[name] = reader(item) if reader else loose_json.text(item.get(name)) or ""
    return made(**values)


def receivers(item: Mapping[str, object]) -> tuple[str, ...]:
    """Read the ids of the agent threads that a collaboration call names."""
    ids = map(uuid, loose_json.sequence(item.get("receiver_thread_ids")))
    return tuple(filter(None, ids))


def error_text(value: object) -> str:
    """Read an error: a text, an object with a message, or any other JSON value."""
    while isinstance(value, dict) and "message" in value:
        value = value["message"]
    found = loose_json.text(value)
    if found is not None:
        return found
    return "" if value is None else json_text.dumps(value)


def _text(fields: Mapping[str, object], name: str) -> str:
    return loose_json.text(fields.get(name)) or ""


def _changes(item: Mapping[str, object]) -> Iterator[Change]:
    for change in map(loose_json.mapping, loose_json.sequence(item.get("changes"))):
        kind = change.get("kind")
        if isinstance(kind, dict):
            kind = kind.get("type")
        if path := _text(change, "path"):
            yield Change(path=path, kind=loose_json.text(kind) or "")


def _result(call: Mapping[str, object]) -> str:
    result = loose_json.mapping(call.get("result"))
    blocks = [
        _text(loose_json.mapping(block), "text")
        for block in loose_json.sequence(result.get("content"))
    ]
    structured = result.get("structured_content")
    if not any(blocks) and structured is not None:
        blocks = [json_text.dumps(structured, ensure_ascii=False, default=str)]
    return "\n".join(block for block in blocks if block)


def _query(search: Mapping[str, object]) -> str:
    action = loose_json.mapping(search.get("action"))
    return _text(search, "query") or _text(action, "query") or _text(action, "url")


ITEMS: Final[dict[str, type[Item]]] = {
    "command_execution": Command,
    "file_change": FileChange,
    "agent_message": AgentMessage,
    "reasoning": Reasoning,
    "mcp_tool_call": McpToolCall,
    "web_search": WebSearch,
    "todo_list": TodoList,
    "collab_tool_call": CollabToolCall,
    "error": ItemError,
}
# The fields of all kinds of items that are not a text of the same name.
_READERS: Final[dict[str, Callable[[Mapping[str, object]], Any]]] = {
    "output": lambda item: _text(item, "aggregated_output"),
    "exit_code": lambda item: loose_json.integer(item.get("exit_code")),
    "changes": lambda item: tuple(_changes(item)),
    "result": _result,
    "error": lambda call: (
        None if call.get("error") is None else error_text(call["error"])
    ),
    "query": _query,
    "todos": lambda plan: tuple(
        Todo(text=_text(step, "text"), is_done=step.get("completed") is True)
        for step in map(loose_json.mapping, loose_json.sequence(plan.get("items")))
    ),
    "receiver_thread_ids": receivers,
    "prompt": lambda item: loose_json.text(item.get("prompt")),
    "message": lambda item: error_text(item.get("message")),
}
