"""Split a task's event log into the invocations of Codex that it was written by.

Codex's lines stand there as it wrote them, item ids restarting with every process;
before each process the old tool wrote a `user_message`, and a `stderr` line for each
line on standard error.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.exec_events.summary import EventSummary
from runner.foreign import eventlines, sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


class Invocation:
    """What the log says of one invocation; `first` and `end` bound its events."""

    def __init__(self, prompt: str | None, *, is_injected: bool = False) -> None:
        self.prompt = prompt
        self.is_injected = is_injected
        self.stderr: list[str] = []
        self.digest = EventSummary()
        self.first: int | None = None
        self.end = 0

    @property
    def is_fresh(self) -> bool:
        """Whether Codex has said nothing yet."""
        return self.first is None

    @property
    def awaits_prompt(self) -> bool:
        """Whether the user's own words have yet to come."""
        return self.is_injected or self.prompt is None

    def take(self, line: bytes, offset: int) -> None:
        if line.endswith(b"\n"):
            self.digest.feed(line)
        else:
            self.digest.finish(line)
        self.first = offset if self.first is None else self.first
        self.end = offset + len(line)


def split(stream: BinaryIO) -> list[Invocation]:
    """Read a log of events to its end; never raises on its contents."""
    splitter = _Splitter()
    for offset, line in sources.lines(stream):
        splitter.feed(line, offset)
    return splitter.found


class _Splitter:
    def __init__(self) -> None:
        self.found: list[Invocation] = []
        self._beside: str | None = None

    def feed(self, line: bytes, offset: int) -> None:
        match eventlines.kind_of(line):
            case "user_message":
                self._take_prompt(line)
            case "stderr":
                self._current().stderr.append(_message(line) or "")
            case None:
                pass
            case kind:
                if kind == "thread.started" and not self._current().is_fresh:
                    self.found.append(Invocation(self._beside))
                    self._beside = None
                self._current().take(line, offset)

    def _current(self) -> Invocation:
        if not self.found:
            self.found.append(Invocation(None))
        return self.found[-1]

    def _take_prompt(self, line: bytes) -> None:
        """Begin an invocation; a message that Codex was given besides begins none."""
        text, is_injected = _message(line), _has_kind(line)
        last = self.found[-1] if self.found else None
        if last is not None and last.is_fresh and last.awaits_prompt:
            last.prompt, last.is_injected = text, is_injected
        elif last is None or not is_injected or last.digest.ended is not None:
            self.found.append(Invocation(text, is_injected=is_injected))
        else:
            self._beside = text


def _message(line: bytes) -> str | None:
    return loose_json.text(_fields(line).get("message"))


def _has_kind(line: bytes) -> bool:
    return loose_json.text(_fields(line).get("kind")) not in {None, "", "plain"}


def _fields(line: bytes) -> dict[str, object]:
    try:
        return loose_json.load_object(line)
    except loose_json.NotAnObjectError:
        return {}
