"""Split a rollout file into turns: each was one `codex exec`.

Up to 0.98 a turn has neither a beginning nor an end on record: it begins with what the
user said, and the agent's last word is its end.
"""

from __future__ import annotations

import re

from parsers import loose_json
from parsers.rollouts import payloads, records
from parsers.rollouts.thread import Turn
from parsers.rollouts.time_window import seconds_between
from runner.foreign import sources
from runner.foreign.calls import read_item
from runner.foreign.prompts import is_injected
from runner.foreign.turn import ToldTurn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from parsers.rollouts.records import Record
    from parsers.rollouts.thread import Header

# Long records that tell nothing here; a place so near to the beginning is no text.
_SKIPPED: Final = re.compile(
    rb'.{0,120}?"type":"(?:world_state|compacted|token_usage_record'
    rb'|response_item","payload":\{"type":"reasoning)"',
    re.DOTALL,
)
# Seconds: a fork's copy of its parent is written in one go, times and all.
_COPYING_TAKES: Final = 1.0
_CALLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
_ANSWERS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_ENDS: Final = frozenset({"task_complete", "turn_aborted"})


def read_turns(lines: Iterable[bytes], header: Header) -> list[ToldTurn]:
    """Read a rollout file from its beginning; never raises on its contents.

    A fork may begin with a copy of its parent's turns, times rewritten: they are left
    out. Ids are UUIDs of version 7, so an own turn's is not less than the thread's.
    """
    reader = _Reader()
    for line in lines:
        if _SKIPPED.match(line):
            continue
        try:
            reader.feed(records.read_record(line))
        except loose_json.NotAnObjectError:
            continue
    if header.forked_from_id is None:
        return reader.turns
    return [turn for turn in reader.turns if _is_own(turn, header)]


def _is_own(turn: ToldTurn, header: Header) -> bool:
    if turn.turn_id is not None:
        return turn.turn_id.lower() >= header.thread_id
    return seconds_between(header.started_at or "", turn.at) >= _COPYING_TAKES


class _Reader:
    def __init__(self) -> None:
        self.turns: list[ToldTurn] = []

    def feed(self, record: Record) -> None:
        payload, kind = record.payload, record.kind
        if kind in {"task_started", "turn_context"}:
            self._meet_turn(record)
        elif kind == "user_message":
            self._hear_user(record, payloads.text(payload, "message"))
        elif kind == "item_completed":
            self._take_item(record, loose_json.mapping(payload.get("item")))
        elif self.turns and kind != "message":  # what is told twice
            self.turns[-1].note_time(sources.instant(record.at))
            self._take(self.turns[-1], record)

    def _meet_turn(self, record: Record) -> None:
        turn_id = payloads.text(record.payload, "turn_id")
        last = self.turns[-1] if self.turns else None
        if turn_id is not None and (last is None or not last.can_be(turn_id)):
            last = self._begin(record, turn_id)
        if last is not None:
            last.turn_id = last.turn_id or turn_id
            last.take_context(record.payload)

    def _begin(self, record: Record, turn_id: str | None) -> ToldTurn:
        turn = ToldTurn(turn_id, record.at)
        self.turns.append(turn)
        return turn

    def _hear_user(self, record: Record, text: str | None) -> None:
        kind = loose_json.text(record.payload.get("kind"))
        if text is None or is_injected(text) or kind not in {None, "", "plain"}:
            return
        turn = self.turns[-1] if self.turns else None
        if turn is None or not turn.can_hear:
            turn = self._begin(record, None)
        turn.prompt = turn.prompt or text

    def _take_item(self, record: Record, item: Mapping[str, object]) -> None:
        if item.get("type") == "UserMessage":
            self._hear_user(record, payloads.content(item) or None)
        elif self.turns:
            turn = self.turns[-1]
            turn.note_time(sources.instant(record.at))
            if item.get("type") == "AgentMessage":
                turn.answer_with(payloads.content(item))
            elif (found := read_item(item)) is not None:
                turn.keep(loose_json.text(item.get("id")), found)

    def _take(self, turn: ToldTurn, record: Record) -> None:
        payload = record.payload
        if record.kind == "agent_message":
            turn.answer_with(payloads.text(payload, "message") or "")
        elif record.kind in _CALLS:
            turn.call(payload)
        elif record.kind in _ANSWERS:
            turn.take_answer(payload)
        elif record.kind == "token_count":
            turn.count(record)
        elif record.kind in _ENDS:
            turn.end(payloads.ended(Turn(turn_id=""), record), payload)
