r"""A model that follows the prompt: directives at the start of its lines.

```
run: CMD              run a shell command and wait for its end
start: CMD            run one and go on while it is still running
patch: PATH [TEXT]    add a file by apply_patch
spawn: PROMPT         give a prompt to a sub-agent and wait for it
calls: N              N commands, one after the other, a model call each
together: N           N commands in one model call
say: TEXT             a message; the last one is the run's answer
think: TEXT           a reasoning summary
usage: input=… cached=… cache_write=… output=… reasoning=…     of the calls that follow
limits: primary=PERCENT secondary=PERCENT resets=EPOCH         reported with them
slow: SECONDS         wait before the next reply
stall: SECONDS        begin a reply, stay silent, break off
drop                  break the stream off
fail: 429 [resets=EPOCH primary=PERCENT]      a usage limit
fail: STATUS          any other HTTP error: 401, 500, …
fail: CODE            an accepted request that fails, e.g. context_length_exceeded
```

Several directives make several model calls. Other lines are left alone, so a directive
may stand inside a longer prompt; without any, the answer is one short message. In
`say`, `spawn` and `patch`, `\n` starts a new line.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.loopback.directives import (
    MalformedDirectiveError,
    directives,
    failure,
    limits,
)
from runner.loopback.reply import (
    Answer,
    Delay,
    Drop,
    Message,
    Reasoning,
    Stall,
    Usage,
)
from runner.loopback.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.loopback.directives import Directive
    from runner.loopback.reply import Item, Reply
    from runner.loopback.request import Request, ToolOutput

_PREVIEW = 80


@dataclass(slots=True)
class _Turn:
    """The tool outputs that no directive has used yet, and what the next reply gets."""

    outputs: deque[ToolOutput]
    items: list[Item] = field(default_factory=list)
    usage: Usage | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0

    def answer(self, *items: Item) -> Reply:
        return self.later(Answer(items=items, usage=self.usage, headers=self.headers))

    def later(self, reply: Reply) -> Reply:
        return Delay(seconds=self.seconds, reply=reply) if self.seconds else reply


def scripted(request: Request) -> Reply:
    """Follow the prompt's directives, one model call at a time."""
    if not request.has_tools:
        return Answer(items=(Message("Loopback"),))
    turn = _Turn(outputs=deque(request.outputs))
    try:
        for directive in directives(request.prompt):
            follow = _use if directive.name in TOOLS else _tell
            if (reply := follow(directive, turn)) is not None:
                return reply
    except MalformedDirectiveError as error:
        return Answer(items=(Message(f"I cannot follow {error}."),))
    first_line = request.prompt.strip().partition("\n")[0]
    return turn.answer(*(turn.items or [Message(f"Done: {first_line[:_PREVIEW]}")]))


def _use(directive: Directive, turn: _Turn) -> Reply | None:
    waiting = len(turn.outputs)
    calls = TOOLS[directive.name](directive, turn.outputs)
    if len(turn.outputs) < waiting:
        # The model made this directive's first call in an earlier reply, which also had
        # the messages and the delay of the directives before it.
        turn.items, turn.seconds = [], 0
    return None if calls is None else turn.answer(*turn.items, *calls)


def _tell(directive: Directive, turn: _Turn) -> Reply | None:
    match directive.name:
        case "say":
            turn.items.append(Message(directive.lines()))
        case "think":
            turn.items.append(Reasoning(directive.text))
        case "usage":
            turn.usage = _usage(directive)
        case "limits":
            turn.headers = limits(directive)
        case "slow":
            turn.seconds = directive.number()
        case "stall":
            return turn.later(Stall(seconds=directive.number()))
        case "drop":
            return turn.later(Drop(items=tuple(turn.items)))
        case _:
            return turn.later(failure(directive))
    return None


def _usage(directive: Directive) -> Usage:
    given = directive.settings("input", "cached", "cache_write", "output", "reasoning")
    return Usage(
        input_tokens=given.get("input", 0),
        cached_input_tokens=given.get("cached", 0),
        cache_write_input_tokens=given.get("cache_write", 0),
        output_tokens=given.get("output", 0),
        reasoning_output_tokens=given.get("reasoning", 0),
    )
