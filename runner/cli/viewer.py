"""Another command of the suite, run below a screen, and what it writes on that."""

from __future__ import annotations

import os
from codecs import getincrementaldecoder

from parsers.light import pattern, signal
from parsers.text import visible
from runner import clock
from runner.cli import table
from runner.cli.command import line_of
from runner.process.signals import send
from runner.process.start import Launch, start_program
from runner.process.table import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.look import Styled
    from runner.cli.screen import Screen
    from runner.config import Config

_PIECE = 1 << 16
_LINES_AT_MOST = 20_000
_PACE_SECONDS = 0.01
_STYLE = pattern(r"\x1b\[([0-9;]*)m")
_KEYS = (("↑↓", "scroll"), ("space", "page"), ("G", "end"), ("q", "back"))


class Child:
    """Run a command of the suite on a terminal of its own, as large as a screen.

    Args:
        words: its arguments.
        screen: that what it writes is shown on.
        settings: of this process.
    """

    def __init__(self, words: Sequence[str], screen: Screen, settings: Config) -> None:
        import termios  # noqa: PLC0415 - for this command alone

        self.words = words
        self.lines = [""]
        self.code: int | None = None
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self.descriptor, slave = os.openpty()
        try:
            termios.tcsetwinsize(slave, (screen.height, screen.width))
            size = {"COLUMNS": f"{screen.width}", "LINES": f"{screen.height}"}
            launch = Launch(
                line_of(words),
                {**settings.environment, **size},
                os.getcwd(),  # noqa: PTH109 - as it is
                settings.umask,
                None,
                slave,
                slave,
            )
            self._pid = start_program(launch)
        finally:
            os.close(slave)
        os.set_blocking(self.descriptor, False)

    def read(self) -> None:
        """Take what it has written; at its end also its exit code."""
        if self.code is not None:
            return
        try:
            while data := os.read(self.descriptor, _PIECE):
                self._add(self._decoder.decode(data))
        except BlockingIOError:
            return
        except OSError:
            pass  # it has closed its terminal
        os.close(self.descriptor)
        self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _add(self, text: str) -> None:
        first, *rest = text.replace("\r", "").split("\n")
        self.lines[-1] += first
        self.lines += rest
        del self.lines[:-_LINES_AT_MOST]

    @property
    def answer(self) -> str:
        """Return what it has said, on one line."""
        words = (_STYLE.sub("", line).strip() for line in self.lines)
        return "  ".join(filter(None, words))

    def end(self) -> None:
        """End it, if it has not ended."""
        if self.code is None:
            send(child(self._pid), signal.SIGTERM)
            while self.code is None:
                self.read()
                clock.sleep(_PACE_SECONDS)


class Viewer:
    """Show what a command writes, from its beginning or following its end.

    Args:
        source: the command.
        title: its first line.
        follows: show the end.
    """

    def __init__(self, source: Child, title: str, *, follows: bool) -> None:
        self._source, self._title = source, title
        self._top: int | None = None if follows else 0
        self._first, self._page, self._is_at_end = 0, 1, follows

    def drawn(self, width: int, height: int) -> list[Sequence[Styled]]:
        """Draw it at a size."""
        self._page = max(height - 2, 1)
        lines = self._source.lines
        body: list[Sequence[Styled]] = []
        if self._top is None:
            self._first, self._is_at_end = len(lines), True
            while self._first and len(body) < self._page:
                self._first -= 1
                body = [*folded(lines[self._first], width), *body]
            body = body[-self._page :]
        else:
            self._first = at = min(self._top, len(lines) - 1)
            while at < len(lines) and len(body) < self._page:
                body += folded(lines[at], width)
                at += 1
            self._is_at_end = at == len(lines) and len(body) <= self._page
            body = body[: self._page]
        body += [[]] * (self._page - len(body))
        says = "" if self._source.code is None else "ended   "
        keys = [
            part
            for key in _KEYS
            for part in ((key[0], "bold"), (f" {key[1]}   ", "dim"))
        ]
        head = (table.shortened(self._title, width), "bold")
        return [[head], *body, [(says, "dim"), *keys]]

    def press(self, key: str) -> None:
        """Scroll."""
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "enter": 1}
        steps |= {"page up": -self._page, "b": -self._page}
        steps |= {"page down": self._page, " ": self._page}
        if key in {"g", "home"}:
            self._top = 0
        elif key in {"G", "end"} or (steps.get(key, 0) > 0 and self._is_at_end):
            self._top = None
        elif key in steps:
            self._top = max(self._first + steps[key], 0)


def folded(line: str, width: int) -> list[Sequence[Styled]]:
    """Break a line with colours where the screen ends."""
    found: list[list[Styled]] = [[]]
    style, used = "", 0
    for number, piece in enumerate(_STYLE.split(line)):
        if number % 2:
            style = "" if piece in {"", "0"} else f"{style} {piece}"
            continue
        text = visible(piece.expandtabs())
        while text:
            count = max(table.fitting(text, width - used), not used)
            found[-1].append((text[:count], style))
            used += table.width_of(text[:count])
            if text := text[count:]:
                found.append([])
                used = 0
    return [*found]
