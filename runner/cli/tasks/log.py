"""`codex-tasks log`."""

from __future__ import annotations

import json

from parsers.exec_events import task_log
from parsers.exec_events.transcript import (
    coloured,
    render,
    render_end,
    render_prompt,
    render_stderr,
)
from runner.cli.codex_options import whole_number
from runner.cli.output import is_terminal
from runner.service import log
from runner.service.lookup import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from runner.cli.context import Context
    from runner.service.log import Piece

HELP = """\
Show what a task has said and done, in all its runs.

-f, --follow    go on with what comes, until the task is no longer RUNNING
-F, --forever   go on until you end it: the task may get another prompt
-n, --lines N   only the last N events, prompts and lines of standard error
--json          the events as they are, as JSON lines
--run RUN       only this run of the task
TASK            the task

  codex-tasks log 01a1f0
  codex-tasks log -f -n 0 01a1f0            (only what comes, to the end of its work)
  codex-tasks log --json 01a1f0 | jq -r 'select(.type == "turn.failed")'
"""


def main(found: Namespace, context: Context) -> int:
    """Show the log; return at its end or, followed, at the end of the task's work."""
    wish = log.Wish(
        run_id=found.run,
        last=whole_number(found.lines, "-n", "lines"),
        follows=found.follow or found.forever,
        is_endless=found.forever,
    )
    context.sweep()
    with context.ledger.snapshot():
        task = get(context.session(found.task).key, context.ledger)
    said = _json if found.json else _Text(is_coloured=_has_colours(context))
    for piece in log.read(task, wish, context.ledger, context.settings):
        match piece:
            case log.Note(text=text):
                context.note(text)
            case log.Nothing():
                context.output.check()
            case _:
                context.output.text(said(piece))
    return 0


class _Text:
    """Render pieces for people."""

    def __init__(self, *, is_coloured: bool) -> None:
        self._colour = coloured if is_coloured else str
        self._is_first = True

    def __call__(self, piece: Piece) -> str:
        start = "" if self._is_first else "\n"
        text = "".join(map(self._colour, self._rendered(piece)))
        self._is_first = self._is_first and not text
        return start + text if isinstance(piece, log.Prompt) else text

    @staticmethod
    def _rendered(piece: Piece) -> list[str]:
        match piece:
            case log.Prompt(text=text):
                return [render_prompt(text)]
            case log.Lines(lines=lines, is_stderr=is_stderr):
                return [*map(render_stderr if is_stderr else render, lines)]
            case log.RunEnded(run_id=run_id, outcome=outcome, error=error):
                return [render_end(run_id, outcome, error)]
            case _:
                return []


def _json(piece: Piece) -> str:
    """Write a piece as lines of a task log, one JSON object each."""
    lines: list[bytes] = []
    match piece:
        case log.Prompt(text=text):
            lines = [task_log.prompt(text)]
        case log.Lines(lines=found, is_stderr=is_stderr):
            lines = [*map(task_log.stderr if is_stderr else _event, found)]
        case _:
            pass
    return b"".join(lines).decode(errors="surrogateescape")


def _event(line: bytes) -> bytes:
    """Make the line of an event; what only looks like an object is wrapped in one."""
    try:
        json.loads(line.decode())
    except (ValueError, RecursionError):
        text = line.decode(errors="replace").rstrip("\r\n")
        return json.dumps({"type": "stdout", "message": text}).encode() + b"\n"
    return task_log.event(line)


def _has_colours(context: Context) -> bool:
    environment = context.settings.environment
    is_dumb = environment.get("TERM", "dumb") in {"dumb", ""}
    return is_terminal() and not (environment.get("NO_COLOR") or is_dumb)
