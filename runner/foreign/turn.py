"""One turn of a rollout, gathered record by record."""

from __future__ import annotations

from parsers import loose_json
from parsers.accounting.tokens import read_usage
from parsers.rollouts import payloads
from parsers.text import release
from runner.foreign import eventlines, sources
from runner.foreign.calls import Call
from runner.lifecycle.judge import Ending, Evidence, Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Final

    from parsers.accounting.tokens import Usage
    from parsers.rollouts.records import Record
    from parsers.rollouts.thread import Turn

_ALL: Final = 100.0  # percent
# Up to this version a turn that failed is written as completed, without an answer.
_SILENT_ON_FAILURE: Final = (0, 142)
_NO_ANSWER: Final = "the turn ended without an answer, and its rollout does not say why"
_LIMITED: Final = "the usage limit was reached"
_LIMIT_CLASS: Final = "usage_limit_exceeded"


class ToldTurn:
    """What the rollout says of one turn; `at` is its first record's time."""

    def __init__(self, turn_id: str | None, at: str) -> None:
        self.turn_id = turn_id
        self.at = at
        self.began_at: datetime | None = sources.instant(at)
        self.ended_at = self.began_at
        self.prompt: str | None = None
        self.answer: str | None = None
        self.model: str | None = None
        self.sandbox: str | None = None
        self.ended: Turn | None = None
        self._usage: Usage | None = None
        self._is_limited = False
        self._is_answered = False
        self._items: list[Mapping[str, object]] = []
        self._places: dict[str, int] = {}
        self._calls: dict[str, Call] = {}

    def can_be(self, turn_id: str) -> bool:
        """Tell whether a record that names a turn may be about this one."""
        is_open = self.turn_id is None and self.ended is None
        return self.turn_id == turn_id or is_open

    @property
    def can_hear(self) -> bool:
        """Whether what the user says now is said in this turn."""
        if self.ended is not None:
            return False
        return self.turn_id is not None or self.prompt is None

    def note_time(self, at: datetime | None) -> None:
        if at is not None and self.ended is None:
            self.began_at = self.began_at or at
            self.ended_at = max(self.began_at, at)

    def take_context(self, context: Mapping[str, object]) -> None:
        self.model = payloads.text(context, "model") or self.model
        policy = loose_json.mapping(context.get("sandbox_policy"))
        named = payloads.text(policy, "type") or payloads.text(policy, "mode")
        self.sandbox = named or self.sandbox

    def answer_with(self, text: str) -> None:
        said = eventlines.message(text)
        if self._items[-1:] != [said]:  # some versions write it twice
            self._items.append(said)
        self.answer, self._is_answered = text or self.answer, True

    def keep(self, item_id: str | None, item: Mapping[str, object]) -> None:
        """Keep an item; Codex's own words for it replace what its call has told."""
        place = self._places.get(item_id or "")
        if place is not None:
            self._items[place] = item
            return
        if item_id:
            self._places[item_id] = len(self._items)
        self._items.append(item)

    def call(self, payload: Mapping[str, object]) -> None:
        self._is_answered = False
        self._calls[loose_json.text(payload.get("call_id")) or ""] = Call(payload)

    def take_answer(self, payload: Mapping[str, object]) -> None:
        call_id = loose_json.text(payload.get("call_id")) or ""
        call = self._calls.pop(call_id, None)
        if call is None or call_id in self._places:
            return
        item = call.answered(payload.get("output"))
        if item is not None:
            self.keep(call_id, item)

    def count(self, record: Record) -> None:
        figure = read_usage(payloads.info(record).get("total_token_usage"))
        self._usage = figure or self._usage
        limits = payloads.rate_limits(record)
        for limit in (limits.primary, limits.secondary) if limits else ():
            used = limit.used_percent if limit else None
            self._is_limited = self._is_limited or (used or 0) >= _ALL

    def end(self, ended: Turn, payload: Mapping[str, object]) -> None:
        if self.ended is not None:
            return
        self.ended = ended
        answer = payloads.text(payload, "last_agent_message")
        if answer is not None and ended.state == "completed":
            self.answer_with(answer)

    def evidence(self, version: str | None) -> Evidence:
        """Gather what the turn tells of its end; the version is the thread's first."""
        if self.ended is None:
            ending = Ending.COMPLETED if self._has_said_all else Ending.NONE
            return Evidence(exit=Exit(), ending=ending)
        if self.ended.state == "aborted":
            # Codex exits 1 after it.
            return Evidence(exit=Exit(process_exit_code=1), was_aborted=True)
        failure, error_class = self.ended.error_message, self.ended.error_class
        if self.ended.state == "completed":
            if self.answer is not None or _tells_failures(version):
                return Evidence(exit=Exit(), ending=Ending.COMPLETED)
            failure = _LIMITED if self._is_limited else _NO_ANSWER
            error_class = _LIMIT_CLASS if self._is_limited else None
        return Evidence(
            exit=Exit(),
            ending=Ending.FAILED,
            failure=failure,
            error_class=error_class,
        )

    def event_lines(self, thread_id: str, evidence: Evidence) -> tuple[bytes, ...]:
        """Tell the turn in the events that Codex would have printed."""
        ends = {
            Ending.COMPLETED: (eventlines.turn_completed(self._usage),),
            Ending.FAILED: (eventlines.turn_failed(evidence.failure or "turn failed"),),
        }
        items = (eventlines.completed(*each) for each in enumerate(self._items))
        begin = (*eventlines.thread_started(thread_id), eventlines.turn_started())
        return (*begin, *items, *ends.get(evidence.ending, ()))

    @property
    def _has_said_all(self) -> bool:
        return self.turn_id is None and self._is_answered


def _tells_failures(version: str | None) -> bool:
    told = release(version)
    return told is None or told > _SILENT_ON_FAILURE
