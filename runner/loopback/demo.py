"""A model for demonstrations: it does the same small piece of work for any task.

It runs a command, adds a file by apply_patch, and writes a message about both. So a run
shows everything that a run with a real model shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.loopback.reply import Answer, Message, Reasoning
from runner.loopback.tools import added_file, command

if TYPE_CHECKING:
    from runner.loopback.reply import Item, Reply
    from runner.loopback.request import Request

FILE = "HELLO.md"
_PREVIEW = 200
_LOOK = "pwd && ls -la && git status --short --branch"


def demo(request: Request) -> Reply:
    """Take the next of three steps, by the number of tool outputs in the request."""
    if not request.has_tools:
        return Answer(items=(Message("Demonstration"),))
    match len(request.outputs):
        case 0:
            return _say(Reasoning("Look around first."), command(_LOOK))
        case 1:
            return _say(
                Message(f"I have seen the repository and add {FILE}."),
                added_file(FILE, _greeting(request.prompt)),
            )
        case _:
            return _say(Message(_account(request)))


def _say(*items: Item) -> Reply:
    return Answer(items=items)


def _greeting(prompt: str) -> str:
    task = prompt.strip().partition("\n")[0][:_PREVIEW]
    return f"# Hello\n\nThe task was: {task}"


def _account(request: Request) -> str:
    last = request.outputs[-1].text.strip()
    if FILE in last and "Success" in last:
        return f"Done: I looked at the repository and added {FILE}."
    return f"I could not add {FILE}. The tool said:\n{last}"
