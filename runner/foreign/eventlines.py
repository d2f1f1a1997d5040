"""Lines of `codex exec --json`: read out of a foreign log, or made from another format.

Made lines have the fields in Codex's own order, so that readers take their fast path.
"""

from __future__ import annotations

import json
import re

from parsers import loose_json
from runner.foreign import sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    from parsers.accounting.tokens import Usage
    from parsers.facts import Facts
    from runner.foreign.history import ForeignRun

# What the old tool wrote between Codex's lines.
SYNTHETIC: Final = frozenset({"user_message", "stderr"})
_HEAD: Final = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-z_.]+)"')
_USAGE: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)


def event_lines(run: ForeignRun) -> Iterator[bytes]:
    """Give the event lines of a run, each with its newline.

    Raises:
        OSError: the file they stand in cannot be read any more.
    """
    yield from run.lines
    if run.events is None:
        return
    path, first, end = run.events
    with sources.opened(path) as stream:
        stream.seek(first)
        for offset, line in sources.lines(stream):
            if offset >= end:
                return
            kind = kind_of(line)
            if kind is not None and kind not in SYNTHETIC:
                yield line if line.endswith(b"\n") else line + b"\n"


def kind_of(line: bytes) -> str | None:
    """Read the type of an event; None when the line is none."""
    head = _HEAD.match(line)
    if head is not None:
        return head.group(1).decode()
    try:
        return loose_json.text(loose_json.load_object(line).get("type"))
    except loose_json.NotAnObjectError:
        return None


def thread_started(thread_id: str | None) -> tuple[bytes, ...]:
    """Make the first line of a run; none when the thread has no name."""
    if thread_id is None:
        return ()
    return (_line({"type": "thread.started", "thread_id": thread_id}),)


def turn_started() -> bytes:
    """Make the line that a turn begins with."""
    return _line({"type": "turn.started"})


def turn_completed(usage: Usage | None) -> bytes:
    """Make the line that a good turn ends with; the usage is the thread's."""
    if usage is None:
        return _line({"type": "turn.completed"})
    figures = {part: getattr(usage, part) for part in _USAGE}
    return _line({"type": "turn.completed", "usage": figures})


def turn_failed(message: str) -> bytes:
    """Make the line that a failed turn ends with."""
    return _line({"type": "turn.failed", "error": {"message": message}})


def message(text: str) -> Mapping[str, object]:
    """Make what the agent said."""
    return {"type": "agent_message", "text": text}


def command(line: str, output: str, exit_code: int | None) -> Mapping[str, object]:
    """Make a command that has ended; no exit code means that nobody knows it."""
    return {
        "type": "command_execution",
        "command": line,
        "aggregated_output": output,
        "exit_code": exit_code,
        "status": "completed" if exit_code in {0, None} else "failed",
    }


def file_change(
    changes: Mapping[str, str], status: str = "completed"
) -> Mapping[str, object]:
    """Make an edit from paths and what was done to them: add, delete or update."""
    listed = [{"path": path, "kind": kind} for path, kind in changes.items()]
    return {"type": "file_change", "changes": listed, "status": status}


def completed(number: int, item: Mapping[str, object]) -> bytes:
    """Make the line that an item ends with."""
    named = {"id": f"item_{number}", **item}
    return _line({"type": "item.completed", "item": named})


def of_facts(facts: Facts) -> tuple[bytes, ...]:
    """Tell in event lines what a log for people has told."""
    items: list[Mapping[str, object]] = []
    if facts.files_changed:
        items.append(file_change(facts.files_changed))
    if facts.final_message:
        items.append(message(facts.final_message))
    ends = {
        "completed": (turn_completed(facts.usage),),
        "failed": (turn_failed(facts.failure or "turn failed"),),
    }
    return (
        *thread_started(facts.session_id),
        turn_started(),
        *(completed(number, item) for number, item in enumerate(items)),
        *ends.get(facts.ended or "", ()),
    )


def _line(event: Mapping[str, object]) -> bytes:
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"
