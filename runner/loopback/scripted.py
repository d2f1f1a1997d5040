r"""A model that follows the prompt: directives at the start of its lines.

```
run: CMD              run a shell command and wait for its end
start: CMD            run one and go on while it is still running
patch: PATH [TEXT]    add a file by apply_patch
spawn: PROMPT         start a sub-agent with a prompt and wait for it
calls: N              N commands, one after the other, a model call each
together: N           N commands in one model call
say: TEXT             a message; the last one is the run's answer
think: TEXT           a reasoning summary
usage: input=… cached=… cache_write=… output=… reasoning=…
                      tokens of the calls that follow
limits: primary=PERCENT secondary=PERCENT resets=EPOCH
                      reported with them
slow: SECONDS         wait before the next reply
stall: SECONDS        begin a reply, send nothing, close the stream
drop                  close the stream
fail: 429 [resets=EPOCH primary=PERCENT]      a usage limit
fail: STATUS          any other HTTP error: 401, 500, …
fail: CODE            an accepted request that fails: context_length_exceeded, …
```

Several directives make several model calls. Other lines are ignored, so a
longer prompt may contain directives; without any, the answer is one short
message. In `say`, `spawn` and `patch`, `\n` starts a new line.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from runner.loopback.reply import (
    Answer,
    Delay,
    Drop,
    FunctionCall,
    HttpFailure,
    Message,
    Reasoning,
    Stall,
    StreamFailure,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.loopback.reply import Item, Reply
    from runner.loopback.request import Request, ToolOutput

    Outputs = deque[ToolOutput]
    Calls = tuple[FunctionCall, ...]
    Tool = Callable[["Directive", Outputs], Calls | None]

MOST_CALLS = 1000
_AGENTS = "multi_agent_v1"
_RUNNING = re.compile(r"^Process running with session ID (\d+)$", re.MULTILINE)
_POLL_MILLISECONDS = 30_000
_LEAST_YIELD_MILLISECONDS = 250
_HOUR = 3600
_LEAST_ERROR, _GREATEST_ERROR = 400, 599
_WINDOW_MINUTES = {"primary": 300, "secondary": 10_080}
_PREVIEW = 80
_ADDED = "HELLO.md"
_TASK_LENGTH = 200
_LOOK = "pwd && ls -la && git status --short --branch"


class MalformedDirectiveError(ValueError):
    """A directive that cannot be followed; the message becomes the model's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One line of a prompt that controls the model."""

    name: str
    text: str

    def number(self) -> float:
        """Read the text as a number of seconds or pieces."""
        try:
            value = float(self.text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            self.refuse("a number is needed")
        return value

    def settings(self, *names: str, skip: int = 0) -> dict[str, int]:
        """Read the words after the first `skip` as `name=NUMBER` in any order."""
        found = {}
        for word in self.text.split()[skip:]:
            name, _, value = word.partition("=")
            if name not in names or not value.isdecimal():
                self.refuse(f"these can be set: {', '.join(names)}")
            found[name] = int(value)
        return found

    def lines(self) -> str:
        r"""Read the text with each `\n` as the start of a new line."""
        return self.text.replace(r"\n", "\n")

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error that names this directive."""
        message = f"'{self.name}: {self.text}': {reason}"
        raise MalformedDirectiveError(message)


def directives(prompt: str) -> tuple[Directive, ...]:
    """Find the directives of a prompt, in their order."""
    return tuple(
        Directive(name=found[1], text=(found[2] or "").strip())
        for found in _LINE.finditer(prompt)
    )


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


def demo(request: Request) -> Reply:
    """Do the same small piece of work for any task, in three steps.

    It runs a command, adds a file by apply_patch, and writes a message about both. So a
    run shows everything that a run with a real model shows.
    """
    if not request.has_tools:
        return Answer(items=(Message("Demonstration"),))
    match len(request.outputs):
        case 0:
            return Answer(items=(Reasoning("Look around first."), _command(_LOOK)))
        case 1:
            task = request.prompt.strip().partition("\n")[0][:_TASK_LENGTH]
            plan = Message(f"I have seen the repository and add {_ADDED}.")
            change = _added_file(_ADDED, f"# Hello\n\nThe task was: {task}")
            return Answer(items=(plan, change))
        case _:
            last = request.outputs[-1].text.strip()
            account = f"I could not add {_ADDED}. The tool said:\n{last}"
            if _ADDED in last and "Success" in last:
                account = f"Done: I looked at the repository and added {_ADDED}."
            return Answer(items=(Message(account),))


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
            known = directive.settings("primary", "secondary", "resets")
            turn.headers = _rate_limits({"primary": 0, **known})
        case "slow":
            turn.seconds = directive.number()
        case "stall":
            return turn.later(Stall(seconds=directive.number()))
        case "drop":
            return turn.later(Drop(items=tuple(turn.items)))
        case _:
            return turn.later(_failure(directive))
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


def _failure(directive: Directive) -> Reply:
    what = directive.text.partition(" ")[0]
    text = f"The loopback server was told to fail with {what}."
    if not what.isdecimal():
        return StreamFailure(code=what, message=text)
    status, headers = int(what), {}
    error: dict[str, object] = {"type": "invalid_request_error"}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        known = directive.settings("resets", "primary", skip=1)
        headers = _rate_limits({"primary": 100, **known})
        error = {"type": "usage_limit_reached", "message": "limit"}
        error["resets_at"] = int(headers["x-codex-primary-reset-at"])
    elif status == HTTPStatus.UNAUTHORIZED:
        error["code"] = "invalid_api_key"
        error["message"] = "Incorrect API key provided."
    elif _LEAST_ERROR <= status <= _GREATEST_ERROR:
        error |= {"code": f"status_{status}", "message": text}
    else:
        directive.refuse(f"{_LEAST_ERROR} to {_GREATEST_ERROR} are errors")
    return HttpFailure(status=status, body={"error": error}, headers=headers)


def _rate_limits(known: Mapping[str, int]) -> dict[str, str]:
    """Write the headers with the used percentage of a plan's windows.

    They reset in an hour by default.
    """
    headers, resets = {}, known.get("resets", int(time.time()) + _HOUR)
    for name, minutes in _WINDOW_MINUTES.items():
        if name in known:
            headers[f"x-codex-{name}-used-percent"] = str(known[name])
            headers[f"x-codex-{name}-window-minutes"] = str(minutes)
            headers[f"x-codex-{name}-reset-at"] = str(resets)
    return headers


# Each model call of a turn runs the tools again, with the outputs since the prompt: a
# tool takes its own outputs and returns its next calls, or None when it has finished.


def _command(cmd: str, **options: object) -> FunctionCall:
    """Call for a shell command, without a login shell: its profile may print text."""
    return FunctionCall("exec_command", {"cmd": cmd, "login": False, **options})


def _added_file(path: str, text: str) -> FunctionCall:
    """Call for a new file, as Codex models do: apply_patch in a shell."""
    body = "".join(f"+{line}\n" for line in text.split("\n"))
    patch = f"*** Begin Patch\n*** Add File: {path}\n{body}*** End Patch"
    return _command(f"apply_patch <<'EOF'\n{patch}\nEOF\n")


def run(directive: Directive, outputs: Outputs) -> Calls | None:
    """Run a command to its end; Codex returns a session id when it takes longer."""
    if not outputs:
        return (_command(directive.text),)
    while (session := _RUNNING.search(outputs.popleft().text)) is not None:
        if not outputs:
            number = int(session[1])
            poll = {"session_id": number, "yield_time_ms": _POLL_MILLISECONDS}
            return (FunctionCall("write_stdin", poll),)
    return None


def start(directive: Directive, outputs: Outputs) -> Calls | None:
    """Start a command and go on while it runs."""
    call = _command(directive.text, yield_time_ms=_LEAST_YIELD_MILLISECONDS)
    return _after(call, outputs)


def patch(directive: Directive, outputs: Outputs) -> Calls | None:
    """Add a file; its text follows its path."""
    path, _, text = directive.lines().partition(" ")
    if not path:
        directive.refuse("a path is needed")
    return _after(_added_file(path, text or f"This is {path}."), outputs)


def calls(directive: Directive, outputs: Outputs) -> Calls | None:
    """Run a number of short commands, each in a model call of its own."""
    for call in _echoes(directive):
        if (next_calls := _after(call, outputs)) is not None:
            return next_calls
    return None


def together(directive: Directive, outputs: Outputs) -> Calls | None:
    """Run a number of short commands from one model call."""
    echoes = _echoes(directive)
    if not outputs:
        return echoes
    for _ in range(min(len(echoes), len(outputs))):
        outputs.popleft()
    return None


def spawn(directive: Directive, outputs: Outputs) -> Calls | None:
    """Give a prompt to a sub-agent and wait until it has finished."""
    if not outputs:
        message = {"message": directive.lines()}
        return (FunctionCall("spawn_agent", message, _AGENTS),)
    agent = _field(outputs.popleft(), "agent_id")
    while isinstance(agent, str):
        if not outputs:
            return (FunctionCall("wait_agent", {"targets": [agent]}, _AGENTS),)
        if not _field(outputs.popleft(), "timed_out"):
            break
    return None


def _after(call: FunctionCall, outputs: Outputs) -> Calls | None:
    if not outputs:
        return (call,)
    outputs.popleft()
    return None


def _echoes(directive: Directive) -> Calls:
    total = int(directive.number())
    if not 1 <= total <= MOST_CALLS:
        directive.refuse(f"1 to {MOST_CALLS} calls are possible")
    return tuple(_command(f"echo call {n} of {total}") for n in range(1, total + 1))


def _field(output: ToolOutput, name: str) -> object:
    try:
        value: object = json.loads(output.text)
    except ValueError:
        return None
    return value.get(name) if isinstance(value, dict) else None


TOOLS: Mapping[str, Tool] = {
    tool.__name__: tool for tool in (run, start, patch, calls, together, spawn)
}
NAMES = (
    *TOOLS,
    *("say", "think", "usage", "limits", "slow", "stall", "drop", "fail"),
)
_LINE = re.compile(rf"^({'|'.join(NAMES)})(?::[ \t]*(.*)|(?<=drop))$", re.MULTILINE)
