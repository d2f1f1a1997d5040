"""A whole terminal: keys come from it one by one, and what has changed is drawn.

The one invariant: however the block ends, the terminal is as it was.
"""

from __future__ import annotations

import os
import select

from parsers.light import contextmanager, pattern, signal, suppress
from runner.cli.look import SELECTED
from runner.cli.output import Output, ReaderGoneError
from runner.cli.table import width_of
from runner.process.signals import arrivals, recorded, suspend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Any

    from runner.cli.look import Look, Styled

# The other screen, without a cursor and without a break of long lines; and back.
_BEGIN, _END = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HEARD = (*_SIGNALS, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
_KEY = pattern(r"\x1b\[[0-9;]*[~A-Za-z]|\x1bO[A-Za-z]|\x1b|(?s:.)")
_NAMES = {
    **dict.fromkeys(("\x1b[A", "\x1bOA"), "up"),
    **dict.fromkeys(("\x1b[B", "\x1bOB"), "down"),
    **dict.fromkeys(("\x1b[H", "\x1bOH", "\x1b[1~"), "home"),
    **dict.fromkeys(("\x1b[F", "\x1bOF", "\x1b[4~"), "end"),
    **dict.fromkeys(("\r", "\n"), "enter"),
    **dict.fromkeys(("\x7f", "\b"), "backspace"),
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b": "escape",
}
# The rest of a key's sequence comes within this time.
_REST_MS = 30
_KEYS_BYTES = 1024


class EndedError(Exception):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Screen:
    """Draw lines on a terminal, and read its keys.

    Args:
        look: how it is drawn on.
        told: the signals that have come, in their order.
    """

    def __init__(self, look: Look, told: Sequence[int]) -> None:
        import termios  # noqa: PLC0415 - for this command alone

        self._told, self._heard = told, 0
        self._look, self._output, self._termios = look, Output(), termios
        self._before: list[Any] = termios.tcgetattr(0)
        self._lines: list[Sequence[Styled]] = []
        self.width, self.height = 80, 24

    def begin(self) -> None:
        """Take the terminal, as a whole."""
        termios, mode = self._termios, [*self._before]
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(0, termios.TCSADRAIN, mode)
        self._output.text(_BEGIN)
        self.measure()

    def end(self) -> None:
        """Give it back as it was; it may be gone."""
        with suppress(OSError, ReaderGoneError, self._termios.error):
            self._output.text(_END)
        with suppress(OSError, self._termios.error):
            self._termios.tcsetattr(0, self._termios.TCSADRAIN, self._before)

    def measure(self) -> None:
        """Look how large it is; everything is drawn again."""
        with suppress(OSError):
            size = os.get_terminal_size(1)
            self.width, self.height = size.columns or 80, size.lines or 24
        self._lines = []

    def draw(self, lines: Sequence[Sequence[Styled]]) -> None:
        """Draw the lines that differ from those that are shown."""
        text = "" if self._lines else "\x1b[2J"
        lines = [*lines[: self.height], *[[]] * (self.height - len(lines))]
        for number, line in enumerate(lines):
            was = self._lines[number] if self._lines else []
            if line != was:
                text_of_it = "".join(part for part, _ in line)
                is_selected = any(style == SELECTED for _, style in line)
                width = width_of(text_of_it if is_selected else text_of_it.rstrip())
                # At the right edge the terminal would erase the last character.
                rest = "" if width >= self.width else "\x1b[K"
                text += f"\x1b[{number + 1};1H{self._look.line(line)}{rest}"
        self._lines = lines
        if text:
            self._output.text(text)

    def keys(self, seconds: float, others: Collection[int] = ()) -> list[str]:
        """Wait for keys, for one of some other descriptors, or for a signal.

        Raises:
            EndedError: a signal ends this process, or the terminal is gone.
        """
        poll = select.poll()
        for number in (0, arrivals(), *others):
            poll.register(number, select.POLLIN)
        has_heard = self._hear()
        ready = dict(poll.poll(0 if has_heard else max(seconds, 0) * 1000))
        self._hear()
        if 0 not in ready:
            return []
        data = b""
        with suppress(OSError):
            data = os.read(0, _KEYS_BYTES)
        if not data:
            raise EndedError(signal.SIGHUP)
        rest = select.poll()
        rest.register(0, select.POLLIN)
        while data[-1:] == b"\x1b" or data[-2:] in {b"\x1b[", b"\x1bO"}:
            if not rest.poll(_REST_MS):
                break
            data += os.read(0, _KEYS_BYTES)
        text = data.decode(errors="replace")
        return [_NAMES.get(each, each) for each in _KEY.findall(text)]

    def _hear(self) -> bool:
        """Do what the signals say that have come; return whether there was one."""
        new = self._told[self._heard :]
        for number in new:
            self._heard += 1
            if number in _SIGNALS:
                raise EndedError(number)
            if number == signal.SIGTSTP:
                self.end()
                suspend()
            if number == signal.SIGWINCH:
                self.measure()
            else:
                self.begin()
        return bool(new)


@contextmanager
def whole(look: Look) -> Iterator[Screen]:
    """Take the terminal in a block."""
    with recorded(_HEARD) as told:
        screen = Screen(look, told)
        screen.begin()
        try:
            yield screen
        finally:
            screen.end()
