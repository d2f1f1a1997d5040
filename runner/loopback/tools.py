"""The tools that the scripted model uses, one generator of calls each.

Each model call of a turn runs the tools again, with the outputs since the prompt: a
tool takes its own outputs and returns its next calls, or None when it has finished.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from runner.loopback.reply import FunctionCall

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping

    from runner.loopback.request import ToolOutput
    from runner.loopback.scripted import Directive

    Outputs = deque[ToolOutput]
    Calls = tuple[FunctionCall, ...]
    Tool = Callable[[Directive, Outputs], Calls | None]

MOST_CALLS = 1000
_AGENTS = "multi_agent_v1"
_RUNNING = re.compile(r"^Process running with session ID (\d+)$", re.MULTILINE)
_POLL_MILLISECONDS = 30_000
_LEAST_YIELD_MILLISECONDS = 250


def command(cmd: str, **options: object) -> FunctionCall:
    """Call for a shell command, without a login shell: its profile may print text."""
    return FunctionCall("exec_command", {"cmd": cmd, "login": False, **options})


def added_file(path: str, text: str) -> FunctionCall:
    """Call for a new file, as Codex models do: apply_patch in a shell."""
    body = "".join(f"+{line}\n" for line in text.split("\n"))
    patch = f"*** Begin Patch\n*** Add File: {path}\n{body}*** End Patch"
    return command(f"apply_patch <<'EOF'\n{patch}\nEOF\n")


def run(directive: Directive, outputs: Outputs) -> Calls | None:
    """Run a command to its end; Codex returns a session id when it takes longer."""
    if not outputs:
        return (command(directive.text),)
    while (session := _RUNNING.search(outputs.popleft().text)) is not None:
        if not outputs:
            number = int(session[1])
            poll = {"session_id": number, "yield_time_ms": _POLL_MILLISECONDS}
            return (FunctionCall("write_stdin", poll),)
    return None


def start(directive: Directive, outputs: Outputs) -> Calls | None:
    """Start a command and go on while it runs."""
    call = command(directive.text, yield_time_ms=_LEAST_YIELD_MILLISECONDS)
    return _after(call, outputs)


def patch(directive: Directive, outputs: Outputs) -> Calls | None:
    """Add a file; its text follows its path."""
    path, _, text = directive.lines().partition(" ")
    if not path:
        directive.refuse("a path is needed")
    return _after(added_file(path, text or f"This is {path}."), outputs)


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
    return tuple(command(f"echo call {n} of {total}") for n in range(1, total + 1))


def _field(output: ToolOutput, name: str) -> object:
    try:
        value: object = json.loads(output.text)
    except ValueError:
        return None
    return value.get(name) if isinstance(value, dict) else None


TOOLS: Mapping[str, Tool] = {
    tool.__name__: tool for tool in (run, start, patch, calls, together, spawn)
}
