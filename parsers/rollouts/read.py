"""Read a Codex rollout file (0.50 to 0.169): a thread's calls, turns, models, limits.

The file is read from its beginning whatever the window, because totals before the
window are the baseline of those in it. The file of a fork, or of a sub-agent that was
given its parent's context, may begin with a copy of the parent's records with new
times: nothing counts before the thread's own first turn. Ids are UUIDs of version 7, so
a turn is the thread's own when its id is not less than the thread's.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.exec_events import items
from parsers.facts import OTHER_THREAD, warn
from parsers.light import suppress
from parsers.lines import BLANK
from parsers.rollouts import records
from parsers.rollouts.model_calls import CallCounter, CallInFlight
from parsers.rollouts.records import moment, seconds_between
from parsers.rollouts.thread import UNKNOWN_RECORD, Call, Rollout, Turn
from parsers.struct import as_dict, replace
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
    from typing import BinaryIO, Final

    from parsers.rollouts.records import Record, Step
    from parsers.rollouts.thread import Header, RateLimits

# Seconds. Up to 0.98 turns have no ids: records written at once are taken as the copy.
_COPYING_TAKES: Final = 1.0
HEADER_BYTES: Final = 8 << 20
_NAME_LENGTH: Final = 80


def read_header(stream: BinaryIO) -> Header | None:
    """Read the header of a file that is open at its beginning; None when it has none.

    A header is one line that also contains the model's base instructions.
    """
    return read_header_line(stream.readline(HEADER_BYTES))


def read_header_line(first_line: bytes) -> Header | None:
    """Read a file's first line or its first kilobytes; None when it is no header."""
    with suppress(loose_json.NotAnObjectError):
        record = records.read_record(first_line)
        if record.kind == "session_meta":
            return records.read_header(record.payload)
    return None


def read_rollout(
    lines: Iterable[bytes],
    *,
    from_offset: int = 0,
    since: str | None = None,
    until: str | None = None,
) -> Rollout:
    """Read a rollout from its beginning; never raises on its contents.

    Args:
        lines: an open binary file at its beginning, or the lines, with their newlines,
            of all files of a thread.
        from_offset: count only records that begin at this byte or after it.
        since: count only records of this ISO 8601 time (UTC) or later.
        until: count only records of this ISO 8601 time (UTC) or earlier.
    """
    reader = RolloutReader(from_offset, moment(since), moment(until))
    offset = 0
    for line in lines:
        reader.feed(line, offset)
        offset += len(line)
    return reader.result()


def read_parts(lines: Iterable[bytes], places: Sequence[int]) -> list[Rollout]:
    """Read a rollout file in one pass as parts, one for each place.

    A part ends where the next one begins, so that each record belongs to one part; the
    first part also has what comes before its place.
    """
    reader, found, offset = RolloutReader(), list[Rollout](), 0
    for line in lines:
        while len(found) + 1 < len(places) and offset >= places[len(found) + 1]:
            found.append(reader.next_part())
        reader.feed(line, offset)
        offset += len(line)
    return [*found, reader.result()]


def with_parts(
    lines: Iterable[tuple[int, bytes]], turns: Sized, parts: list[Rollout]
) -> Iterator[tuple[int, bytes]]:
    """Pass on the lines of a rollout, each with its place, and read the same parts.

    A part ends where the next of `turns` begins, which the lines' reader adds to it.
    """
    reader = RolloutReader()
    for place, line in lines:
        yield place, line
        if len(turns) > len(parts) + 1:
            parts.append(reader.next_part())
        reader.feed(line, place)
    parts.append(reader.result())


class RolloutReader:
    """Read a rollout line by line, as it grows.

    Args:
        from_offset: count only records that begin at this byte or after it.
        since: count only records of this time or later, as `moment` writes it.
        until: count only records of this time or earlier.
    """

    def __init__(self, from_offset: int = 0, since: str = "", until: str = "") -> None:
        self._from_offset = from_offset
        self._since, self._until = since, until
        self._has_window = bool(since or until)
        self._header: Header | None = None
        self._began_at = ""
        self._is_copy = False
        self._has_begun = False
        self._model: str | None = None
        self._tier: str | None = None
        self._cwd: str | None = None
        self._window: int | None = None
        self._turn_id: str | None = None
        self._root_turn_id: str | None = None
        self._counter = CallCounter()
        self._flight = CallInFlight()
        self._unread = records.Figures()
        self._begin_part()

    def next_part(self) -> Rollout:
        """Return what was found since the last part, and go on in the same thread."""
        part = self.result()
        self._begin_part()
        return part

    def _begin_part(self) -> None:
        self._calls: list[Call] = []
        self._turns: dict[str, Turn] = {}
        self._limits: RateLimits | None = None
        self._message: str | None = None
        self._spawned: dict[str, None] = {}
        self._refused = 0
        self._compactions = 0
        self._warnings: dict[str, int] = {}

    def feed(self, line: bytes, offset: int) -> None:
        """Take the line that begins at this byte."""
        worth = records.worth_of(line)
        if worth == "nothing":
            return
        if worth == "figures" and self._counter.is_recorded and not self._has_window:
            self._unread.keep(line, is_inside=offset >= self._from_offset)
            return
        if step := records.STEPS.get(worth):
            self._step(step, line, offset)
            return
        try:
            record = records.read_record(line)
        except loose_json.NotAnObjectError:
            if line.strip(BLANK):
                name = "undecodable_line" if line.endswith(b"\n") else "unfinished_line"
                warn(self._warnings, name)
            return
        self._follow(record)
        if not self._is_copy:
            is_inside = self._holds(record.at, offset)
            self._refused += is_inside and records.is_refused(line)
            self._take(record, is_inside=is_inside)

    def _step(self, step: Step, line: bytes, offset: int) -> None:
        if self._is_copy:
            return
        self._flight.take(step)
        if step == "remote compaction" and not self._counter.is_recorded:
            self._compactions += self._holds(records.time_of(line), offset)

    def _holds(self, at: str, offset: int) -> bool:
        if offset < self._from_offset:
            return False
        when = moment(at) if self._has_window else ""
        return when >= self._since and (not self._until or when <= self._until)

    def _settle(self) -> None:
        """Take the figures that were put off."""
        unread, self._unread = self._unread, records.Figures()
        self._counter.take_baseline(unread.info())
        self._limits = unread.limits() or self._limits

    def result(self) -> Rollout:
        """Return what was found in this part."""
        self._settle()
        self._leave_turn()
        return Rollout(
            **(as_dict(self._header) if self._header else {}),
            calls=tuple(self._calls),
            turns=tuple(self._turns.values()),
            rate_limits=self._limits,
            last_agent_message=self._message,
            spawned_thread_ids=tuple(self._spawned),
            commands_refused=self._refused,
            compactions=self._compactions,
            total=self._counter.total,
            warnings=self._warnings,
        )

    def _follow(self, record: Record) -> None:
        """Keep track of the thread and the turn that the records belong to."""
        match record.kind:
            case "session_meta":
                self._take_header(record)
            case "task_started" | "turn_context":
                self._take_turn(record)
            case "thread_settings_applied" | "token_usage_record":
                if self._is_own(record.payload):
                    self._is_copy, self._has_begun = False, True
                    self._take_settings(record)
            case "function_call_output" if not self._is_copy:
                self._flight.take("answer")
            case "token_count" if self._is_copy:
                self._counter.take_baseline(records.info(record))
            case _:
                pass

    def _take_settings(self, record: Record) -> None:
        settings = record.payload.get("thread_settings")
        if isinstance(settings, dict):
            self._tier = loose_json.text(settings.get("service_tier")) or ""

    def _take_header(self, record: Record) -> None:
        found = records.read_header(record.payload)
        if found is None or self._has_begun:
            if found and self._header and found.thread_id != self._header.thread_id:
                warn(self._warnings, OTHER_THREAD)
            elif found:
                self._counter.rebase()  # the thread's next file, after a revert
            return
        if self._header is None:
            self._header, self._began_at = found, record.at
            self._is_copy = found.forked_from_id is not None
            self._counter.is_rooted = not self._is_copy
        else:
            self._is_copy = found.thread_id != self._header.thread_id

    def _take_turn(self, record: Record) -> None:
        turn_id = records.text(record.payload, "turn_id")
        if self._is_copy:
            is_own = seconds_between(self._began_at, record.at) >= _COPYING_TAKES
            if turn_id is not None and self._header is not None:
                is_own = turn_id.lower() >= self._header.thread_id
            if not is_own:
                return
        self._is_copy, self._has_begun = False, True
        self._model = records.text(record.payload, "model") or self._model
        self._cwd = records.text(record.payload, "cwd")
        window = loose_json.integer(record.payload.get("model_context_window"))
        self._window = window or self._window
        if turn_id != self._turn_id:
            self._leave_turn()
            self._flight.begin()
            # The last total of a turn with records is the baseline of the next turn.
            self._settle()
            self._counter.is_recorded = False
            self._turn_id, self._root_turn_id = turn_id, None
        root_turn_id = records.text(record.payload, "root_turn_id")
        self._root_turn_id = root_turn_id or self._root_turn_id

    def _is_own(self, payload: Mapping[str, object]) -> bool:
        thread_id = payload.get("thread_id")
        if self._header is None or thread_id == self._header.thread_id:
            return True
        return uuid(thread_id) in {None, self._header.thread_id}

    def _take(self, record: Record, *, is_inside: bool) -> None:
        if record.kind in {"token_usage_record", "token_count"}:
            self._count(record, is_inside=is_inside)
        elif is_inside:
            self._note(record)

    def _note(self, record: Record) -> None:
        match record.kind:
            case "task_started" | "turn_context" if self._turn_id is not None:
                self._note_turn(self._turn_id)
            case "task_complete" | "turn_aborted":
                self._end_turn(record)
            case "agent_message" | "item_completed":
                self._note_item(record.payload)
            case "function_call_output":
                answer = records.text(record.payload, "output") or ""
                agent = uuid(loose_json.object_in(answer).get("agent_id"))
                self._spawned |= {agent: None} if agent else {}
            case kind if not records.is_known(kind):
                warn(self._warnings, f"{UNKNOWN_RECORD}{kind[:_NAME_LENGTH]}")
            case _:
                pass

    def _count(self, record: Record, *, is_inside: bool) -> None:
        payload, usage = record.payload, None
        if record.kind == "token_count":
            usage = self._counter.take_total(records.info(record))
            if is_inside:
                self._limits = records.rate_limits(record) or self._limits
        elif self._is_own(payload):
            usage = self._counter.take_record(payload)
        if usage is None:
            return
        self._flight.take_usage()
        if not is_inside:
            return
        call = Call(
            at=record.at,
            turn_id=records.text(payload, "turn_id") or self._turn_id,
            root_turn_id=records.text(payload, "root_turn_id") or self._root_turn_id,
            model=self._model,
            usage=usage,
            tier=self._tier,
        )
        self._calls.append(call)
        if call.turn_id is not None and call.turn_id not in self._turns:
            self._note_turn(call.turn_id)

    def _note_turn(self, turn_id: str) -> None:
        turn = self._turns.get(turn_id) or Turn(turn_id=turn_id)
        if turn_id == self._turn_id:
            at, root = self._cwd or turn.cwd, self._root_turn_id
            turn = replace(turn, model=self._model, root_turn_id=root, cwd=at)
            turn = replace(turn, context_window=self._window)
        self._turns[turn_id] = turn

    def _leave_turn(self) -> None:
        """Note whether the turn, as far as it is known, waits for the model."""
        turn = self._turns.get(self._turn_id or "")
        if turn is not None and self._flight.is_open:
            self._turns[turn.turn_id] = replace(turn, is_unanswered=True)

    def _end_turn(self, record: Record) -> None:
        turn_id = records.text(record.payload, "turn_id") or self._turn_id
        if turn_id is None:
            return
        self._note_turn(turn_id)
        self._turns[turn_id] = records.ended(self._turns[turn_id], record)
        self._leave_turn()
        self._flight.is_open = False
        message = records.text(record.payload, "last_agent_message")
        self._message = message or self._message

    def _note_item(self, payload: Mapping[str, object]) -> None:
        item = loose_json.mapping(payload.get("item"))
        if item.get("type") == "CollabAgentToolCall":
            if item.get("tool") == "spawn_agent":
                self._spawned |= dict.fromkeys(items.receivers(item))
            return
        message = records.text(payload, "message") or records.content(item)
        self._message = message or self._message
