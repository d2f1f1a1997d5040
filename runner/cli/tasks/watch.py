"""`codex-tasks ls --watch`: the list of tasks, live, and what can be done with them."""

from __future__ import annotations

import os
from functools import partial

from parsers.struct import replace
from runner import clock
from runner.cli import format, live_screen, table, task_table
from runner.cli.live_screen import View
from runner.cli.options import refuse
from runner.cli.screen import EndedError, whole
from runner.cli.viewer import Child, Viewer
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.recover import sweep
from runner.model import EXIT_SIGNAL_BASE
from runner.process.signals import blocked
from runner.service.live import ENDED_AT_MOST, Live
from runner.service.lookup import older_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.context import Context
    from runner.cli.look import Styled
    from runner.cli.screen import Screen
    from runner.service.listing import Line
    from runner.service.live import Wish

_TICK_SECONDS = 1.0
# Then the keys are shown again.
_TOLD_SECONDS = 5.0
_ORDERS = (None, "-cost", "-tokens", "-time", "title", "dir")
_LINES_OF_LOG = "500"
_FIX = "codex-tasks ls"


def watch(wish: Wish, context: Context) -> int:
    """Draw the list again and again, until `q` or a signal."""
    is_dumb = context.settings.environment.get("TERM", "") in {"", "dumb"}
    refuse(
        (not (os.isatty(0) and os.isatty(1)), "--watch needs a terminal", _FIX),
        (is_dumb, "--watch needs a terminal that can move its cursor", _FIX),
    )

    def judge() -> Sequence[str]:
        with blocked(STOP_SIGNALS):  # a delivery is not interrupted
            return sweep(context.ledger, context.settings).faults

    live = Live(context.ledger, context.settings, judge)
    try:
        with whole(context.look) as screen:
            _Watch(screen, live, wish, context).run()
    except EndedError as end:
        return EXIT_SIGNAL_BASE + end.number
    return 0


class _Watch:
    """Keep what is selected and typed, and run what the keys ask for."""

    def __init__(
        self, screen: Screen, live: Live, wish: Wish, context: Context
    ) -> None:
        self._screen, self._live, self._wish = screen, live, wish
        self._context, self._look = context, context.look
        self._has_older = bool(older_tasks(context.ledger))
        self._lines: Sequence[Line] = []
        self._name: str | None = None
        self._top = 0
        # What is typed for the filter; the task that may be stopped; what was said.
        self._typed: str | None = None
        self._asked: Line | None = None
        self._told: Sequence[Styled] = ()
        self._told_at = 0.0
        self._helps = False
        self._viewer: Viewer | None = None
        self._shown: Child | None = None
        self._acts: list[Child] = []

    def run(self) -> None:
        """Draw, and do what the keys say."""
        due = 0.0
        try:
            while True:
                now = clock.monotonic()
                if now >= due:
                    self._lines = self._read()
                    due = now + _TICK_SECONDS
                self._screen.draw(self._drawn())
                children = [*self._acts, *([self._shown] if self._shown else [])]
                waited = [each.descriptor for each in children if each.code is None]
                for key in self._screen.keys(due - clock.monotonic(), waited):
                    if not self._press(key):
                        return
                for each in children:
                    each.read()
                self._end_acts()
        finally:
            # What it was asked to do goes on; a log that nobody reads does not.
            if self._shown is not None:
                self._shown.end()

    def _read(self) -> Sequence[Line]:
        """Look at the tasks; the selection stays on its task."""
        lines: Sequence[Line] = self._live.lines(self._wish)
        if self._live.faults:
            self._tell("  ".join(self._live.faults), "red")
        if not self._wish.is_all:
            lines, _ = task_table.without_old(lines, ENDED_AT_MOST)
        at = self._index(self._lines)
        if lines and self._name not in {each.short_id for each in lines}:
            self._name = lines[min(at, len(lines) - 1)].short_id
        return lines

    def _index(self, lines: Sequence[Line]) -> int:
        names = [each.short_id for each in lines]
        return names.index(self._name) if self._name in names else 0

    @property
    def _line(self) -> Line | None:
        return self._lines[self._index(self._lines)] if self._lines else None

    def _drawn(self) -> Sequence[Sequence[Styled]]:
        width, height = self._screen.width, self._screen.height
        if self._viewer is not None:
            return self._viewer.drawn(width, height)
        if self._helps:
            return live_screen.help_lines(height)
        line = self._line
        parts = live_screen.layout(width, height, len(self._lines))
        view = View(
            lines=self._lines,
            ids=partial(task_table.ids, width=width, ledger=self._context.ledger),
            selected=self._index(self._lines),
            spent=self._live.spent,
            slots=self._live.slots,
            is_paused=self._live.is_paused,
            is_filtered=self._wish.text is not None,
            about=self._about(),
            bottom=self._bottom(),
            events=self._live.events(line, parts.events) if line else (),
        )
        lines, self._top = live_screen.drawn(view, width, height, self._top)
        return lines

    def _about(self) -> str:
        """Say which tasks are shown, where that is not the usual."""
        told = ["without tasks of an older tool"] if self._has_older else []
        told += [f"by {self._wish.order.lstrip('-')}"] if self._wish.order else []
        told += [f"with {self._wish.text}"] if self._wish.text else []
        if (more := self._live.left_out) > 0:
            told.append(f"{more:,} more are not shown: / finds them")
        return "   ".join(told)

    def _bottom(self) -> Sequence[Styled]:
        if self._typed is not None:
            return [("/", "bold"), (self._typed, ""), ("_", "dim")]
        if self._asked is not None:
            return live_screen.question(self._asked, self._screen.width)
        is_new = clock.monotonic() - self._told_at < _TOLD_SECONDS
        return self._told if is_new or self._acts else ()

    def _press(self, key: str) -> bool:
        """Do what a key says; return whether to go on."""
        if self._viewer is not None:
            self._press_in_viewer(key)
        elif self._typed is not None:
            self._type(key)
        elif self._asked is not None:
            if key == "y":
                self._act("stop", self._asked.short_id)
            self._asked = None
        elif self._helps:
            self._helps = False
        elif key == "q":
            return False
        else:
            self._told = ()
            self._command(key)
        return True

    def _command(self, key: str) -> None:
        line = self._line
        at, last = self._index(self._lines), len(self._lines) - 1
        page = max(self._screen.height - 14, 1)
        moves = {"up": at - 1, "k": at - 1, "down": at + 1, "j": at + 1}
        moves |= {"page up": at - page, "page down": at + page, "home": 0, "end": last}
        if key in moves and self._lines:
            self._name = self._lines[min(max(moves[key], 0), last)].short_id
        elif key == "o":
            at = _ORDERS.index(self._wish.order) if self._wish.order in _ORDERS else 0
            self._wish = replace(self._wish, order=_ORDERS[(at + 1) % len(_ORDERS)])
            self._lines = self._read()
        elif key == "escape" and self._wish.text is not None:
            self._type(key)
        elif key == "p":
            self._act("resume" if self._live.is_paused else "pause")
        elif key in {"?", "/"}:
            self._helps, self._typed = key == "?", "" if key == "/" else None
        elif line is not None and key == "s":
            self._asked = line
        elif line is not None and key == "r":
            self._act("retry", line.short_id)
        elif line is not None and key == "enter":
            self._view(line, ["log", "-f", "-n", _LINES_OF_LOG], follows=True)
        elif line is not None and key == "d":
            self._view(line, ["diff"], follows=False)

    def _type(self, key: str) -> None:
        """Type the text of the filter; it is in force at once."""
        typed = self._typed or ""
        if key in {"enter", "escape"}:
            self._typed = None
        elif key == "backspace":
            self._typed = typed[:-1]
        elif key.isprintable() and len(key) == 1:
            self._typed = typed + key
        text = (
            None
            if key == "escape"
            else (self._typed if self._typed is not None else typed)
        )
        self._wish = replace(self._wish, text=text or None)
        self._lines = self._read()

    def _act(self, *words: str) -> None:
        """Run another command, which says at its end what it has done."""
        self._tell(f"{' '.join(words)} …", "dim")
        self._acts.append(Child(words, self._screen, self._context.settings))

    def _end_acts(self) -> None:
        for each in [act for act in self._acts if act.code is not None]:
            self._acts.remove(each)
            said = each.answer.replace("codex-tasks: ", "")
            for line in self._lines:  # by the id that the list shows
                said = said.replace(str(line.row["id"]), line.short_id)
            word = "done" if each.code == 0 else f"exit {each.code}"
            style = "" if each.code == 0 else "red"
            is_named = each.code == 0 and any(name in said for name in each.words[1:])
            about = "" if is_named else f"{' '.join(each.words)}: "
            self._tell(f"{about}{said or word}", style)

    def _tell(self, text: str, style: str) -> None:
        text = table.shortened(format.line(text), self._screen.width)
        self._told, self._told_at = [(text, style)], clock.monotonic()

    def _view(self, line: Line, words: list[str], *, follows: bool) -> None:
        """Show what another command writes about a task."""
        look = self._look
        words += ["--color", "always" if look.has_colour else "never"]
        words += ["--ascii"] if look.is_ascii else []
        name, settings = line.short_id, self._context.settings
        self._shown = Child([*words, name], self._screen, settings)
        title = f"{words[0]} {name}  {format.line(line.task)}"
        self._viewer = Viewer(self._shown, title, follows=follows)

    def _press_in_viewer(self, key: str) -> None:
        if self._viewer is None or key not in {"q", "escape"}:
            self._viewer.press(key) if self._viewer else None
            return
        if self._shown is not None:
            self._shown.end()
        self._viewer = self._shown = None
