"""The readable log of the old tool's first generation, which kept one Codex for a task.

Every heading begins with its time in UTC (`[2025-09-22T19:02:11] codex`), what was said
stands below it. A prompt begins a run; the agent's answer is the end of its turn.
"""

from __future__ import annotations

import re

from parsers.text import strip, uuid
from runner.foreign import eventlines, sources
from runner.foreign.prompts import is_injected
from runner.lifecycle.judge import Ending, Evidence, Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Final

_HEADING: Final = re.compile(r"\[([0-9T:.+Z-]{19,35})\] ?(.*)")
_PROMPT: Final = re.compile(r"(?:User instructions:|user)\s*(.*)")
_SESSION: Final = re.compile(r"(?:codex session|session id:)\s+(\S+)")
_MODEL: Final = re.compile(r"model:\s*(\S+)")
_EXEC: Final = re.compile(r"exec (.+?)(?: in /.*)?")
_EXECUTED: Final = re.compile(r"(.*?)\s?(?:succeeded|exited (-?[0-9]{1,9})) in .*:?")
_ERROR: Final = re.compile(r"ERROR: (.*)")
_SAID_LINES: Final = 20_000


class Turn:
    """What the transcript says of one prompt."""

    def __init__(self, at: datetime | None) -> None:
        self.began_at = self.ended_at = at
        self.prompt: str | None = None
        self.answer: str | None = None
        self.error: str | None = None
        self.items: list[Mapping[str, object]] = []
        self.is_answered = False

    @property
    def evidence(self) -> Evidence:
        ending = Ending.COMPLETED if self.is_answered else Ending.NONE
        if self.error is not None:
            ending = Ending.FAILED
        return Evidence(exit=Exit(), ending=ending, failure=self.error)

    def event_lines(self, session_id: str | None) -> tuple[bytes, ...]:
        items = (eventlines.completed(*each) for each in enumerate(self.items))
        ends: tuple[bytes, ...] = ()
        if self.error is not None:
            ends = (eventlines.turn_failed(self.error),)
        elif self.is_answered:
            ends = (eventlines.turn_completed(None),)
        begin = (*eventlines.thread_started(session_id), eventlines.turn_started())
        return (*begin, *items, *ends)


class Transcript:
    """What a whole log says; `session_id` is the thread that Codex named in it."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.model: str | None = None
        self.turns: list[Turn] = []
        self._heading = ""
        self._said: list[str] = []
        self._command: str | None = None

    def read(self, lines: Iterable[bytes]) -> Transcript:
        for line in lines:
            text = strip(line.decode("utf-8", "replace").replace("\0", ""))
            found = _HEADING.fullmatch(text.rstrip())
            if found is not None:
                self._close()
                self._open(sources.instant(found[1]), found[2].strip())
            elif len(self._said) < _SAID_LINES:
                self._said.append(text.rstrip("\r\n"))
        self._close()
        return self

    def _open(self, at: datetime | None, heading: str) -> None:
        self._heading = heading
        prompt = _PROMPT.fullmatch(heading)
        if prompt is not None:
            self.turns.append(Turn(at))
            self._said = [prompt[1]] if prompt[1] else []
        elif self.turns and at is not None:
            self.turns[-1].ended_at = at
        self._take_banner(heading)

    def _take_banner(self, heading: str) -> None:
        session, model = _SESSION.fullmatch(heading), _MODEL.fullmatch(heading)
        if session is not None and self.session_id is None:
            self.session_id = uuid(session[1])
        if model is not None and self.model is None:
            self.model = model[1]

    def _close(self) -> None:
        text, self._said = "\n".join(self._said).strip("\n"), []
        heading, self._heading = self._heading, ""
        if not self.turns:
            return
        turn = self.turns[-1]
        if _PROMPT.fullmatch(heading):
            self._take_prompt(text)
        elif heading == "codex":
            turn.items.append(eventlines.message(text))
            turn.answer, turn.is_answered, turn.error = text, True, None
        elif error := _ERROR.fullmatch(heading):
            turn.error = f"{error[1]}\n{text}".strip()
        else:
            self._take_command(turn, heading, text)

    def _take_prompt(self, text: str) -> None:
        if is_injected(text):
            self.turns.pop()  # Codex was given it, no user has said it
        else:
            self.turns[-1].prompt = text or None

    def _take_command(self, turn: Turn, heading: str, text: str) -> None:
        begun, executed = _EXEC.fullmatch(heading), _EXECUTED.fullmatch(heading)
        if begun is not None:
            self._command = begun[1]
            turn.is_answered = False
        elif executed is not None:
            line = self._command or executed[1]
            self._command = None
            code = int(executed[2] or 0)
            turn.items.append(eventlines.command(line, text, code))
