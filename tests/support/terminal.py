"""A terminal of a test's own: programs under it can be interrupted and hung up on."""

import os
import pty
import re
import select
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from support.commands import Cli
from support.processes import kill, processes_below

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_SEQUENCE = re.compile(r"(\x1b\[[?0-9;]*[A-Za-z])")
# The session leader's first open of a terminal makes it the controlling one.
_ENTER = 'exec <"$0" >"$0" 2>&1; exec "$@"'


@dataclass(slots=True)
class Terminal:
    """One terminal; `keyboard` is its other end."""

    keyboard: int
    screen: int
    name: str
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, argv: Sequence[str], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a program as the leader of the terminal's session."""
        command = ["sh", "-c", _ENTER, self.name, *argv]
        process = subprocess.Popen(command, env=dict(env), start_new_session=True)
        self._started.append(process)
        return process

    def resize(self, rows: int, columns: int) -> None:
        """Give it another size; its programs get SIGWINCH."""
        termios.tcsetwinsize(self.keyboard, (rows, columns))

    def press(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def shown(self) -> str:
        """Give what the programs have printed since the last call."""
        text = b""
        while select.select([self.keyboard], (), (), 0)[0]:
            try:
                text += os.read(self.keyboard, 65536)
            except OSError:  # nobody has the terminal open
                break
        return text.decode(errors="replace")

    def close(self) -> None:
        """Hang up."""
        if self.keyboard >= 0:
            os.close(self.keyboard)
            self.keyboard = -1

    def end(self) -> None:
        self.close()
        for process in self._started:
            for pid in processes_below(process.pid):
                kill(pid)
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Open a terminal; what was started under it is ended."""
    keyboard, screen = pty.openpty()
    opened = Terminal(keyboard, screen, os.ttyname(screen))
    try:
        yield opened
    finally:
        opened.end()
        os.close(screen)


class Picture:
    """What a terminal shows of what is written to it, as far as our screens need it."""

    def __init__(self) -> None:
        self.written = ""
        self.is_whole = False
        self._rows: dict[int, str] = {}
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        self.written += text
        for number, piece in enumerate(_SEQUENCE.split(text)):
            if number % 2:
                self._do(piece[2:-1], piece[-1])
            elif piece:
                was, end = self._rows.get(self._row, ""), self._column + len(piece)
                begin = was[: self._column].ljust(self._column)
                self._rows[self._row] = begin + piece + was[end:]
                self._column = end

    def _do(self, code: str, kind: str) -> None:
        if kind == "H":
            self._row, self._column = (int(each) - 1 for each in code.split(";"))
        elif kind == "K":
            self._rows[self._row] = self._rows.get(self._row, "")[: self._column]
        elif kind == "J" or code == "?1049":
            self._rows = {}
            self.is_whole = kind == "h" if code == "?1049" else self.is_whole

    @property
    def lines(self) -> list[str]:
        """Give the rows, from the top."""
        return [
            self._rows.get(row, "") for row in range(max(self._rows, default=-1) + 1)
        ]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def on_screen(cli: Cli, columns: int, *words: str, **more: str) -> list[str]:
    """Show what `codex-tasks` draws on a terminal of this width, less colours."""
    with terminal() as opened:
        process = cli.start(
            *words,
            command="codex_tasks",
            env={"COLUMNS": str(columns), "TERM": "xterm-256color", **more},
            stdin=opened.screen,
            stdout=opened.screen,
            stderr=opened.screen,
        )
        shown = ""
        while process.poll() is None:
            shown += opened.shown()
        shown += opened.shown()
        assert process.returncode == 0
    assert "\x1b[" in shown
    return _STYLE.sub("", shown).splitlines()
