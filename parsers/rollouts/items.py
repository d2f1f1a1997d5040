"""The items of a turn in a rollout: commands, edits, calls to other agents.

Since 0.16x a rollout has the items themselves; before, only the model's calls of tools
and what was answered to them, as text in one of three forms.
"""

from __future__ import annotations

import shlex

from parsers import loose_json
from parsers.exec_events import items
from parsers.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from parsers.rollouts.records import Record

_KINDS: Final[Mapping[str | None, str]] = {
    "CommandExecution": "command_execution",
    "FileChange": "file_change",
    "CollabAgentToolCall": "collab_tool_call",
}
# Records of older versions that are items themselves.
_ENDS: Final = {"exec_command_end": "CommandExecution", "patch_apply_end": "FileChange"}
_SHELLS: Final = frozenset(
    {"shell", "container.exec", "shell_command", "exec_command", "local_shell"}
)
_NAMELESS: Final = "local_shell"  # a `local_shell_call` has an action instead
_PATCH: Final = "apply_patch"
_HUNK: Final = pattern(r"(?m)^\*\*\* (Add|Update|Delete) File: (.+)$")
_BEGIN_PATCH: Final = "*** Begin Patch"
_EXIT_CODE: Final = pattern(
    r"(?m)^(?:Exit code: |Process exited with code )(-?[0-9]{1,9})$"
)
_OUTPUT: Final = pattern(r"(?m)^Output:\n")
_NOT_RUN: Final = ("aborted by user", "failed in sandbox", "execution error")
_NO_CODE: Final = -1  # what Codex's events say of such a command
_HEAD: Final = 400  # characters that the note before an output may take


def command(line: str, output: str, exit_code: int | None) -> items.Command:
    """Build a completed command; its exit code is None when it is unknown."""
    return items.Command(
        command=line, output=output, exit_code=exit_code, status=_status(exit_code)
    )


def file_change(
    changes: Iterable[tuple[str, str]], status: str = "completed"
) -> items.FileChange:
    """Build an edit from paths and their kinds: add, delete or update."""
    pairs = tuple(items.Change(path=path, kind=kind) for path, kind in changes)
    return items.FileChange(changes=pairs, status=status)


def item_of(record: Record) -> Mapping[str, object]:
    """Return the item that a record holds or is itself; an empty one for any other."""
    payload = record.payload
    if record.kind == "item_completed":
        return loose_json.mapping(payload.get("item"))
    kind = _ENDS.get(record.kind)
    if kind is None:
        return {}
    state = "failed" if payload.get("success") is False else None
    return {"status": state, **payload, "type": kind, "id": payload.get("call_id")}


def read_item(item: Mapping[str, object]) -> items.Item | None:
    """Read an item that a rollout keeps; None when it is of another kind."""
    kind = _KINDS.get(loose_json.text(item.get("type")))
    if kind is None:
        return None
    made = {**item, "type": kind}
    made["status"] = loose_json.text(item.get("status")) or "completed"
    if kind == "command_execution":
        made["command"] = _joined(item.get("command"))
        made["status"] = _status(loose_json.integer(item.get("exit_code")))
    changes = item.get("changes")
    if isinstance(changes, dict):
        edits = ((path, loose_json.mapping(edit)) for path, edit in changes.items())
        made["changes"] = [
            {"path": path, "kind": edit.get("type") or "update"} for path, edit in edits
        ]
    return items.read_item(made)


class Call:
    """A call of a tool that has yet to be answered."""

    def __init__(self, payload: Mapping[str, object]) -> None:
        self.name = loose_json.text(payload.get("name")) or _NAMELESS
        given = loose_json.text(payload.get("arguments") or payload.get("input")) or ""
        action = loose_json.mapping(payload.get("action"))
        arguments = loose_json.object_in(given) or action
        self.line = _joined(arguments.get("command", arguments.get("cmd")))
        text = self.line or loose_json.text(arguments.get("input")) or given
        self.patch = text if _BEGIN_PATCH in text else None

    def answered(self, output: object) -> items.Item | None:
        """Read what came back; None when it was no command and no edit."""
        text, exit_code = _answer(output)
        if self.patch is not None and (self.name == _PATCH or _PATCH in self.line):
            changes = [(path, kind.lower()) for kind, path in _HUNK.findall(self.patch)]
            return file_change(changes, _status(exit_code))
        return command(self.line, text, exit_code) if self.name in _SHELLS else None


def _status(exit_code: int | None) -> str:
    return "completed" if exit_code in {0, None} else "failed"


def _answer(output: object) -> tuple[str, int | None]:
    if isinstance(output, dict):
        output = output.get("content")
    text = loose_json.text(output) or ""
    fields = loose_json.object_in(text)
    if "output" in fields:
        metadata = loose_json.mapping(fields.get("metadata"))
        code = loose_json.integer(metadata.get("exit_code"))
        return loose_json.text(fields["output"]) or "", code
    head = text[:_HEAD]
    found, begin = _EXIT_CODE.search(head), _OUTPUT.search(head)
    if begin is None:
        return text, _NO_CODE if text.startswith(_NOT_RUN) else None
    code = int(found[1]) if found and found.start() < begin.start() else None
    return text[begin.end() :], code


def _joined(words: object) -> str:
    if isinstance(words, list):
        return shlex.join(loose_json.text(word) or "" for word in words)
    return loose_json.text(words) or ""
