"""The transcript of a task as text, with the time of each entry.

A time is one that the ledger or a supervisor has recorded; else its place is empty.
"""

from __future__ import annotations

from parsers.exec_events import events, items
from parsers.exec_events.transcript import (
    Form,
    coloured,
    render,
    render_end,
    render_prompt,
    render_stderr,
)
from parsers.struct import replace
from parsers.text import painted
from runner import clock
from runner.cli import figures, table
from runner.exports.key_values import end_of_turn
from runner.service import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.light import datetime
    from runner.arrivals import Moment
    from runner.service.log import Piece

_FAINT = "2"
_MARGIN = " " * len("14:29:05  ")
_INDENT = "  "
# Headings of texts that are broken between words; what a program wrote is not.
_TEXTS = (
    *("user", "codex", "thinking", "plan", "web", "agents:", "[stderr]", "note:"),
    *("warning:", "ERROR:", "turn", "run", "unreadable", "not"),
)
_TIMED = (items.Command, items.McpToolCall, items.CollabToolCall)
_LEAST_ROOM = 20
# A time that is known to the second is no measure of less than this.
_LEAST_SECONDS = 10


class Transcript:
    """Render the pieces of a transcript, one after the other.

    Args:
        is_coloured: with colours.
        has_times: with the local time before each entry, the day where it changes, and
            how long commands took.
        form: how texts are shown.
        width: of the terminal, None elsewhere: long lines are broken between words.
    """

    def __init__(
        self,
        *,
        is_coloured: bool,
        has_times: bool,
        form: Form = Form(),  # noqa: B008 - a frozen value
        width: int | None = None,
    ) -> None:
        self._form = form
        self._is_coloured, self._has_times = is_coloured, has_times
        self._room = width and max(width - len(_MARGIN) * has_times, _LEAST_ROOM)
        self._is_first = True
        self._day = clock.today().date()
        self._begun: dict[str, Moment | None] = {}

    def __call__(self, piece: Piece) -> str:
        """Render a piece; "" when there is nothing to show."""
        shown = "".join(self._entry(*each) for each in self._entries(piece))
        start = "" if self._is_first else "\n"
        self._is_first = self._is_first and not shown
        return start + shown if isinstance(piece, log.Prompt) else shown

    def _entries(self, piece: Piece) -> Iterator[tuple[str, datetime | None]]:
        match piece:
            case log.Prompt(text=text, at=at):
                yield render_prompt(text, self._form), at
            case log.Lines(lines=lines, is_stderr=is_stderr, times=times):
                moments = times or [None] * len(lines)
                for line, moment in zip(lines, moments, strict=True):
                    known = None if moment is None else clock.at(moment.seconds)
                    if is_stderr:
                        yield render_stderr(line, self._form), known
                    else:
                        yield self._event(line, moment), known
            case log.RunEnded(run=run) if run.has_succeeded:
                yield end_of_turn(run), run.ended_at
            case log.RunEnded(run=run) if run.verdict:
                outcome, error = run.verdict.outcome, run.verdict.error
                yield render_end(run.run_id, outcome, error), run.ended_at
            case _:
                pass

    def _event(self, line: bytes, moment: Moment | None) -> str:
        """Render an event; the heading of a completed command ends with its time."""
        event = events.decode(line)
        if not (self._has_times and isinstance(event, events.ItemEvent)):
            return render(line, event, self._form)
        if isinstance(event.item, items.Command):
            said = replace(event.item, command=items.typed(event.item.command))
            event = replace(event, item=said)
        text = render(line, event, self._form)
        if event.phase == "started":
            self._begun[event.item.id] = moment
        elif event.phase == "completed" and isinstance(event.item, _TIMED):
            span = _span(self._begun.pop(event.item.id, None), moment)
            text = text.replace("\n", f"  {span}\n" if span else "\n", 1)
        return text

    def _entry(self, text: str, at: datetime | None) -> str:
        if self._room:
            text = _wrapped(text, self._room)
        shown = coloured(text) if self._is_coloured else text
        if not (self._has_times and text):
            return shown
        local, day = at and at.astimezone(), ""
        if local is not None and local.date() != self._day:
            self._day = local.date()
            day = self._faint(f"{local:%a} {local.day} {local:%b %Y}") + "\n"
        time = _MARGIN if local is None else self._faint(f"{local:%H:%M:%S}") + "  "
        first, *rest = shown.split("\n")
        lines = (_MARGIN + line if line else "" for line in rest)
        return day + "\n".join((time + first, *lines))

    def _faint(self, text: str) -> str:
        return painted(text, _FAINT if self._is_coloured else "")


def _wrapped(text: str, room: int) -> str:
    """Break the long lines of an entry between words; the rest of each is indented."""
    lines, word = [], ""
    for line in text.split("\n"):
        body, is_heading = line.lstrip(" "), not line.startswith(_INDENT)
        word = (line.partition(" ")[0] or word) if is_heading else word
        if not (is_heading or word in _TEXTS) or table.width_of(line) <= room:
            lines.append(line)
            continue
        margin = " " * min(len(line) - len(body), room // 2) or _INDENT
        folded = table.wrapped([(body, "")], room - len(margin))
        parts = ("".join(part for part, _ in each) for each in folded)
        whole = [f"{margin}{part}".rstrip() for part in parts]
        lines += [whole[0].lstrip() if is_heading else whole[0], *whole[1:]]
    return "\n".join(lines)


def _span(begin: Moment | None, end: Moment | None) -> str:
    """Write the time between two moments; "" when it is not known.

    Lines that were read together have one time, which says nothing of the span.
    """
    if begin is None or end is None or end.seconds <= begin.seconds:
        return ""
    span, is_exact = end.seconds - begin.seconds, begin.is_exact and end.is_exact
    return figures.command_span(span) if is_exact or span >= _LEAST_SECONDS else ""
