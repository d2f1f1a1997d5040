"""A model for demonstrations: it does the same small piece of work for any task.

It runs a command, adds a file by apply_patch, and writes a message about both. So a run
shows everything that a run with a real model shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.loopback.reply import Answer, Message, Reasoning
from runner.loopback.tools import added_file, command

if TYPE_CHECKING:
    from runner.loopback.reply import Reply
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
            return Answer(items=(Reasoning("Look around first."), command(_LOOK)))
        case 1:
            task = request.prompt.strip().partition("\n")[0][:_PREVIEW]
            plan = Message(f"I have seen the repository and add {FILE}.")
            change = added_file(FILE, f"# Hello\n\nThe task was: {task}")
            return Answer(items=(plan, change))
        case _:
            last = request.outputs[-1].text.strip()
            account = f"I could not add {FILE}. The tool said:\n{last}"
            if FILE in last and "Success" in last:
                account = f"Done: I looked at the repository and added {FILE}."
            return Answer(items=(Message(account),))
