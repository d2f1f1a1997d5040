"""`codex-tasks completion`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from runner.errors import RunnerError
from runner.model import TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from runner.cli.candidates import Pair
    from runner.cli.context import Context
    from runner.ledger.sessions import Session

SUMMARY = "Print a script that completes commands, options and tasks in a shell."
EXAMPLES = """\
  eval "$(codex-tasks completion bash)"      (in ~/.bashrc)
  source <(codex-tasks completion zsh)       (in ~/.zshrc, behind compinit)
  codex-tasks completion fish | source       (in ~/.config/fish/config.fish)
"""
_SHELLS = ("bash", "zsh", "fish")
_SCRIPTS = Path(__file__).parents[1] / "shells"
_IN_USE = (TaskState.RUNNING, TaskState.STOPPED, TaskState.DIED)
_STATES = {
    "send": _IN_USE,
    "stop": _IN_USE,
    "archive": _IN_USE,
    "unarchive": (TaskState.ARCHIVED,),
}
_MOST = 200


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("shell", metavar="SHELL", choices=_SHELLS, help=", ".join(_SHELLS))
    # What the script asks: the words of the line so far, each with a NUL behind it,
    # come on standard input.
    add("--words", action="store_true", help=argparse.SUPPRESS)


def main(found: Namespace, context: Context) -> int:
    """Print the script of a shell, or what it asks for."""
    if found.words:
        context.output.lines(_answer(found.shell, context))
    else:
        script = _SCRIPTS / f"completion.{found.shell}"
        context.output.text(script.read_text(encoding="utf-8"))
    return 0


def _answer(shell: str, context: Context) -> list[str]:
    """Tell what the last word can become: of which kind it is, then each on a line."""
    from runner.cli import bash_words  # noqa: PLC0415 - not for the script
    from runner.cli.candidates import complete  # noqa: PLC0415

    text = sys.stdin.buffer.read().decode(errors="surrogateescape")
    words = text.removesuffix("\0").split("\0")
    typed = bash_words.read(words) if shell == "bash" else None
    if shell == "fish":
        words[-1] = bash_words.unquoted(words[-1])
    found = complete(
        typed.words if typed else words,
        lambda command, begun: _tasks(command, begun, context),
    )
    pairs = typed.written(found.pairs) if typed else found.pairs
    return [found.kind, *(f"{word}\t{means}" for word, means in pairs)]


def _tasks(command: str, begun: str, context: Context) -> list[Pair]:
    """Find tasks by the beginning of their ids, else of their titles."""
    from runner.cli import format  # noqa: PLC0415 - not for the script

    rows = _rows(_STATES.get(command, tuple(TaskState)), context)
    ids = [
        (row.name, format.line(row.title or row.outcome or "running"))
        for row in rows
        if row.name.startswith(begun.lower())
    ]
    titles = [
        (row.title, row.name)
        for row in rows
        if row.title and row.title.casefold().startswith(begun.casefold())
        if row.title == format.line(row.title)
    ]
    return (ids or titles)[:_MOST]


def _rows(states: Sequence[TaskState], context: Context) -> list[Session]:
    """Read the sessions; a completion makes nothing and complains of nothing."""
    if not (context.settings.state_home / "ledger.db").exists():
        return []
    try:
        return context.ledger.sessions.all(states)
    except RunnerError:
        return []
