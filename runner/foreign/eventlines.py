"""Lines of `codex exec --json`: read out of a foreign log, or made from another format.

Made lines have the fields in Codex's own order, so that readers take their fast path.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.accounting.tokens import PARTS, read_usage
from parsers.exec_events import items
from parsers.exec_events.events import (
    ItemEvent,
    ThreadStarted,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
)
from parsers.exec_events.summary import EventSummary
from parsers.light import pattern
from parsers.rollouts.items import command
from parsers.struct import as_dict, replace
from runner.foreign import sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from typing import Final

    from parsers.accounting.tokens import Usage
    from parsers.exec_events.events import Event
    from parsers.facts import Ended, Facts
    from runner.foreign.sources import ForeignRun

# Lines of the older codex-tasks between Codex's lines.
SYNTHETIC: Final = ("user_message", "stderr")
_HEAD: Final = pattern(rb'\s*\{\s*"type"\s*:\s*"([a-z_.]+)"')
_TYPES: Final = {made: kind for kind, made in items.ITEMS.items()}
# Fields of items with another name in events.
_NAMES: Final = {"output": "aggregated_output"}
_NO_REASON: Final = "turn failed"
# A command of which only is known that it has succeeded.
DONE: Final = command("", "", 0)
_FIGURES: Final = PARTS[:-1]  # Codex's events have no total
# The beginnings of messages that Codex adds before a prompt.
_INJECTED: Final = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions for ",
    "<permissions instructions>",
    "<skills_instructions>",
    "<subagent_notification>",
    "<turn_aborted>",
    "<user_shell_command>",
)


def event_lines(run: ForeignRun) -> Iterator[bytes]:
    """Return the event lines of a run, each with its newline.

    Raises:
        OSError: the file can no longer be read.
    """
    if run.events is not None:
        path, first, end = run.events
        with sources.opened(path) as stream:
            stream.seek(first)
            for offset, line in sources.lines(stream):
                if end is not None and offset >= end:
                    break
                if kind_of(line) not in {None, *SYNTHETIC}:
                    yield line if line.endswith(b"\n") else line + b"\n"
    yield from run.lines


def kind_of(line: bytes) -> str | None:
    """Return the type of an event; None when the line is not an event."""
    head = _HEAD.match(line)
    if head is not None:
        return head.group(1).decode()
    return loose_json.text(loose_json.load_or_empty(line).get("type"))


def is_injected(text: str, kind: object = None) -> bool:
    """Return whether Codex added a message, not the user."""
    is_plain = loose_json.text(kind) in {None, "", "plain"}
    return text.lstrip().startswith(_INJECTED) or not is_plain


def turn(
    thread_id: str | None,
    done: Iterable[items.Item],
    ended: Ended | None,
    failure: str | None = None,
    usage: Usage | None = None,
) -> tuple[bytes, ...]:
    """Build the lines of a whole turn; its usage is the thread's."""
    begin = [{"type": "thread.started", "thread_id": thread_id}] if thread_id else []
    return (
        *map(line, begin),
        line({"type": "turn.started"}),
        *(completed(*each) for each in enumerate(done)),
        *end(ended, failure, usage),
    )


def events(
    thread_id: str | None,
    done: Iterable[items.Item],
    ended: Ended | None,
    failure: str | None = None,
    usage: Usage | None = None,
) -> Iterator[Event]:
    """Build the events that the lines of `turn` say."""
    if thread_id:
        yield ThreadStarted(thread_id=thread_id)
    yield TurnStarted()
    for item in done:
        yield ItemEvent(phase="completed", item=item)
    if ended == "failed":
        yield TurnFailed(message=failure or _NO_REASON)
    elif ended is not None:
        parts = {part: getattr(usage, part) for part in _FIGURES} if usage else None
        yield TurnCompleted(usage=read_usage(parts))


def facts_of_turn(
    thread_id: str | None,
    done: Collection[items.Item],
    ended: Ended | None,
    failure: str | None = None,
    usage: Usage | None = None,
) -> Facts:
    """Summarise a turn; of the commands that are only counted one is looked at."""
    some = [item for item in done if item is not DONE]
    first = [DONE] * (len(some) < len(done))
    facts = facts_of_events(events(thread_id, first + some, ended, failure, usage))
    rest = len(done) - len(some) - len(first)
    return replace(facts, commands_run=(facts.commands_run or 0) + rest)


def facts_of_events(told: Iterable[Event]) -> Facts:
    """Summarise events."""
    summary = EventSummary()
    for event in told:
        summary.take(event)
    return summary.facts()


def facts_of(lines: Iterable[bytes]) -> Facts:
    """Summarise event lines."""
    summary = EventSummary()
    summary.read_lines(lines)
    return summary.facts()


def end(
    ended: Ended | None, failure: str | None = None, usage: Usage | None = None
) -> tuple[bytes, ...]:
    """Build the terminal line of a turn; none for a turn without an end."""
    event: dict[str, object] = {"type": f"turn.{ended}"}
    if ended is None:
        return ()
    if ended == "failed":
        event["error"] = {"message": failure or _NO_REASON}
    elif usage is not None:
        event["usage"] = {part: getattr(usage, part) for part in _FIGURES}
    return (line(event),)


def message(text: str) -> items.AgentMessage:
    """Build the line of an agent's message."""
    return items.AgentMessage(id="", text=text)


def completed(number: int, item: items.Item) -> bytes:
    """Build the line of an item."""
    named: dict[str, object] = {"id": "", "type": _TYPES[type(item)]}
    named |= {_NAMES.get(name, name): value for name, value in as_dict(item).items()}
    named["id"] = f"item_{number}"
    return line({"type": "item.completed", "item": named})


def line(event: Mapping[str, object]) -> bytes:
    """Write a JSON object as Codex does."""
    separators = (",", ":")
    text = json_text.dumps(
        event, ensure_ascii=False, separators=separators, default=as_dict
    )
    return text.encode("utf-8", "replace") + b"\n"
