"""Read the log of a run of the bash runner: what Codex said between its two blocks."""

from __future__ import annotations

import re

from parsers.facts import Facts
from parsers.struct import Struct
from parsers.text import strip
from parsers.text_logs.read import read_text_log
from runner.foreign import eventlines, sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO, Final

_BANNER: Final = re.compile(r"OpenAI Codex v([0-9][^\s]*)")
_SANDBOX: Final = re.compile(r"sandbox: ([a-z-]+)")
_PROMPT: Final = "user"  # ends the banner: what follows can look like anything
_LONGEST: Final = 4096
_EVENTS: Final = ("thread.", "turn.", "item.")


class BashLog(Struct):
    """What a log says; `events` bounds the event lines where Codex printed some."""

    facts: Facts = Facts(kind="empty")
    events: tuple[Path, int, int] | None = None
    codex_version: str | None = None
    sandbox: str | None = None


def read_bash_log(path: Path) -> BashLog:
    """Read a log.

    Raises:
        OSError: it cannot be read.
    """
    with sources.opened(path) as stream:
        facts = read_text_log(sources.texts(stream))
        stream.seek(0)
        head = _Head()
        head.read(stream)
    return BashLog(
        facts=facts,
        events=None if head.first is None else (path, head.first, head.end),
        codex_version=head.codex_version,
        sandbox=head.sandbox,
    )


class _Head:
    def __init__(self) -> None:
        self.first: int | None = None
        self.end = 0
        self.codex_version: str | None = None
        self.sandbox: str | None = None

    def read(self, stream: BinaryIO) -> None:
        """Read the banner, or all events where there is none."""
        for offset, line in sources.lines(stream):
            if line.startswith(b"{"):
                self._take_event(line, offset)
            elif self.first is None and len(line) <= _LONGEST:
                text = strip(line.decode("utf-8", "replace")).strip()
                if self.codex_version is not None and text == _PROMPT:
                    return
                self._take_banner(text)

    def _take_event(self, line: bytes, offset: int) -> None:
        kind = eventlines.kind_of(line) or ""
        is_first = self.first is None
        if self.codex_version is not None or not kind.startswith((*_EVENTS, "error")):
            return
        if is_first and not kind.startswith(_EVENTS):
            return
        self.first = offset if is_first else self.first
        self.end = offset + len(line)

    def _take_banner(self, text: str) -> None:
        version, sandbox = _BANNER.match(text), _SANDBOX.match(text)
        if version is not None and self.codex_version is None:
            self.codex_version = version[1]
        if sandbox is not None and self.codex_version is not None:
            self.sandbox = self.sandbox or sandbox[1]
