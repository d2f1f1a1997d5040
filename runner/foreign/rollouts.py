"""Read a rollout, Codex's own record of a thread: each turn was one `codex exec`.

By default only threads of `codex exec` and the SDK are read, and never those of
sub-agents, which belong to the run of the parent. Up to 0.98 a rollout does not record
the beginning and end of a turn: it begins with the user's message and ends with the
agent's last message.
"""

from __future__ import annotations

from itertools import chain

from parsers import loose_json
from parsers.accounting.tokens import read_usage
from parsers.facts import Facts
from parsers.light import pattern, suppress
from parsers.rollouts import records
from parsers.rollouts.items import Call, item_of, read_item
from parsers.rollouts.read import HEADER_BYTES, read_header, with_parts
from parsers.rollouts.records import seconds_between
from parsers.rollouts.thread import Header, Rollout, Turn
from parsers.struct import replace
from parsers.text import release
from runner import files
from runner.foreign import eventlines, sources
from runner.foreign.sources import ForeignRun, History, Other, Unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from re import Match
    from typing import Final

    from parsers.accounting.tokens import Usage
    from parsers.exec_events.items import Item
    from parsers.facts import Ended
    from parsers.light import datetime
    from parsers.paths import Path
    from parsers.rollouts.records import Record

    Lines = Iterable[tuple[int, bytes]]

SESSIONS: Final = ("sessions", "archived_sessions")
_COMPRESSED: Final = (".zst", ".gz")
_ORIGINATORS: Final = ("codex_exec", "codex_sdk")
# A session of another product that Codex has imported.
_NO_USE: Final = "external-import-turn-"
# Long records that are not needed.
_SKIPPED: Final = frozenset(
    b"session_meta world_state compacted token_usage_record reasoning message".split()
)
# Seconds: a fork's copy of its parent is written at once, with its times.
_COPYING_TAKES: Final = 1.0
_LATER: Final = ("function_call", "custom_tool_call", "local_shell_call", "token_count")
_ANSWERS: Final = ("function_call_output", "custom_tool_call_output")
# Inside of a text the quotes of these would be escaped.
_CALL_ID: Final = pattern(rb'"call_id":"([^"\\]+)"')
_COMMAND: Final = pattern(rb'"item":\{"type":"CommandExecution","id":"([^"\\]+)"')
_SUCCEEDED: Final = b',"exit_code":0,'
_ALL: Final = 100.0  # percent
# Up to this version a turn that failed is written as completed, without an answer.
_SILENT_ON_FAILURE: Final = (0, 142)
_NO_ANSWER: Final = "the turn ended without an answer, and its rollout has no reason"
_LIMITED: Final = "the usage limit was reached"
_LIMIT_CLASS: Final = "usage_limit_exceeded"


def read_rollout(
    *paths: Path, is_wanted: Callable[[str], bool] = lambda _: False
) -> History | Unreadable | Other | None:
    """Read the rollout files of one thread; None for the thread of a sub-agent.

    `is_wanted` chooses, by their ids, threads of other programs that are read too.
    """
    path = paths[0]
    try:
        header = _header(path)
        if header is None:
            return None
        origin = header.originator or "unknown"
        if origin.startswith(_ORIGINATORS) or is_wanted(header.thread_id):
            return _history(paths, header)
        return Other(path, header.thread_id, origin)
    except sources.UNREADABLE as error:
        return Unreadable(path, sources.why(error))


def actions(paths: Sequence[Path]) -> Facts:
    """Read what any thread's rollout has done, and how it ended; unknown without turns.

    Raises:
        OSError: it cannot be read again.
    """
    header, turns = own_turns(paths)
    if not turns:
        return Facts(kind="rollout")
    told = (
        eventlines.events(None, turn.items.values(), *turn.end(header.cli_version)[:2])
        for turn in turns
    )
    return eventlines.facts_of_events(chain.from_iterable(told))


def own_turns(
    paths: Sequence[Path], is_wanted: Callable[[bytes], bool] = lambda _: True
) -> tuple[Header, list[_Turn]]:
    """Read the turns in which Codex worked in a thread, from the wanted lines.

    Raises:
        OSError: it cannot be read.
    """
    with sources.opened(paths[0]) as stream:
        header = read_header(stream)
    header, lines = header or Header(thread_id=""), sources.lines_of(paths)
    wanted = ((place, line) for place, line in lines if is_wanted(line))
    return header, [turn for turn in _turns(wanted, []) if _is_own(turn, header)]


def _header(path: Path) -> Header | None:
    if path.suffix in _COMPRESSED:
        raise OSError(0, "it is compressed, and not read")
    with sources.opened(path) as stream:
        first = stream.readline(HEADER_BYTES)
    try:
        record = records.read_record(first)
    except loose_json.NotAnObjectError as error:
        raise OSError(0, f"its first line is not a record: {error}") from error
    meta = record.payload
    header = records.read_header(meta) if record.kind == "session_meta" else None
    if header is None:
        raise OSError(0, "its first line names no thread")
    is_agent = (
        "subagent" in loose_json.mapping(meta.get("source"))
        or meta.get("thread_source") == "subagent"
        or header.parent_thread_id is not None
    )
    return None if is_agent else header


def _history(paths: Sequence[Path], header: Header) -> History:
    path, written_at = paths[0], sources.written_at(*paths)
    every, parts = list[_Turn](), list[Rollout]()
    _turns(with_parts(sources.lines_of(paths), every, parts), every)
    turns = [turn for turn in every if _is_own(turn, header)]
    created_at = sources.instant(header.started_at) or sources.modified(path)
    runs = [
        _run(turn, number, header, created_at, _in_file(paths, turn.place))
        for number, turn in enumerate(turns)
    ]
    updated_at = max([created_at, *(run.ended_at for run in runs)])
    told = (*(turn.cwd for turn in reversed(turns)), header.cwd)
    return History(
        session_id=header.thread_id,
        created_at=created_at,
        updated_at=updated_at,
        working_dir=next(filter(None, map(sources.directory, told)), None),
        archived_at=updated_at if SESSIONS[1] in path.parts else None,
        kind="rollout",
        source=path,
        written_at=written_at,
        is_open=bool(turns) and turns[-1].ended is None,
        parts=tuple(zip((turn.place for turn in every), parts, strict=False)),
        runs=tuple(runs),
    )


def read_turn(path: Path, place: int) -> ForeignRun:
    """Read the turn that begins at a place of a rollout file, with its lines.

    Raises:
        OSError: it cannot be read, or no turn is there.
    """
    with sources.opened(path) as stream:
        header = read_header(stream)
        stream.seek(place)
        turn = next(iter(_turns(sources.lines(stream), [], only=1)), None)
    if header is None or turn is None or turn.place != place:
        raise OSError(0, "the turn is no longer there")
    run = _run(turn, 0, header, sources.modified(path), (path, place))
    told = (*turn.end(header.cli_version)[:2], turn.usage)
    lines = eventlines.turn(header.thread_id, turn.items.values(), *told)
    return replace(run, lines=lines)


def _run(
    turn: _Turn,
    number: int,
    header: Header,
    created_at: datetime,
    rollout: tuple[Path, int],
) -> ForeignRun:
    ended, failure, error_class = turn.end(header.cli_version)
    told = (header.thread_id, turn.items.values(), ended, failure, turn.usage)
    began_at = sources.instant(turn.at) or created_at
    return ForeignRun(
        number=number,
        place=turn.place,
        turn_id=turn.turn_id,
        rollout=rollout,
        prompt=turn.prompt,
        facts=eventlines.facts_of_turn(*told),
        started_at=began_at,
        ended_at=max(began_at, sources.instant(turn.ended_at) or began_at),
        error_class=error_class,
        was_aborted=turn.ended is not None and turn.ended.state == "aborted",
        model=turn.model,
        # The header names only the version that opened the thread.
        codex_version=None if number else header.cli_version,
        source_run_id=turn.turn_id,
    )


def _in_file(paths: Sequence[Path], place: int) -> tuple[Path, int]:
    """Return the file of a thread that has a place in all of them, and the place."""
    for path in paths[:-1]:
        status = files.status(path)
        size = status.st_size if status else 0
        if place < size:
            return path, place
        place -= size
    return paths[-1], place


def _turns(lines: Lines, turns: list[_Turn], only: int | None = None) -> list[_Turn]:
    """Add the turns of a rollout to a list; never raises on its contents.

    Commands that have succeeded are only counted, save in the first `only` turns.
    """
    reader, is_brief = _Reader(turns), only is None
    for place, line in lines:
        if only is not None and len(turns) > only:
            break
        if head := records.HEAD.match(line):
            _, kind, inner = head.groups()
            if (inner if kind == b"response_item" else kind) in _SKIPPED:
                continue
            if turns and turns[-1].puts_off(line, head, is_brief=is_brief):
                continue
        with suppress(loose_json.NotAnObjectError):
            reader.feed(records.read_record(line), place)
    return turns


def _is_own(turn: _Turn, header: Header) -> bool:
    """Return whether Codex worked in a turn, in this thread.

    A fork may begin with a copy of its parent's turns with new times. Ids are UUIDs of
    version 7, so the id of an own turn is not below the thread's.
    """
    if turn.turn_id is not None:
        is_copy = header.forked_from_id and turn.turn_id.lower() < header.thread_id
        return not is_copy and not turn.turn_id.startswith(_NO_USE)
    took = seconds_between(header.started_at or "", turn.at)
    return header.forked_from_id is None or took >= _COPYING_TAKES


class _Turn:
    """One turn of a rollout; `at` and `place` are those of its first record."""

    def __init__(self, turn_id: str | None, at: str, place: int) -> None:
        self.turn_id, self.at, self.place = turn_id, at, place
        self.ended_at = at
        self.prompt: str | None = None
        self.answer: str | None = None
        self.model: str | None = None
        self.cwd: str | None = None
        self.ended: Turn | None = None
        # By their ids, or by a number of their own.
        self.items: dict[str | int, Item] = {}
        self._is_answered = False
        self._calls: dict[str, bytes] = {}
        self._figures = records.Figures()

    @property
    def usage(self) -> Usage | None:
        return read_usage(self._figures.info().get("total_token_usage"))

    def puts_off(self, line: bytes, head: Match[bytes], *, is_brief: bool) -> bool:
        """Keep a line for later, or leave it out; return False if it is read now.

        These lines are decoded only if nothing else has what they say.
        """
        at, _, kind = head.groups()
        if kind == b"token_count":
            self._figures.keep(line)
            named = None
        elif kind in records.CALLS or kind in records.ANSWERS:
            named = _CALL_ID.search(line)
        elif is_brief and kind == b"item_completed" and _SUCCEEDED in line:
            named = _COMMAND.search(line, 0, records.PLACE)
        else:
            return False
        if self.ended is None:
            self.ended_at = at.decode("utf-8", "replace")
        if named is None:
            return kind == b"token_count"
        call_id = named[1].decode("utf-8", "replace")
        if kind in records.CALLS:
            self._is_answered, self._calls[call_id] = False, line
        elif kind == b"item_completed":
            self._keep(call_id, eventlines.DONE)
        elif call_id in self.items:
            self._calls.pop(call_id, None)
        return kind not in records.ANSWERS or call_id not in self._calls

    def take(self, record: Record, item: Mapping[str, object]) -> None:
        """Add a record that begins no turn and is not a user's message."""
        payload, kind = record.payload, record.kind
        call_id = loose_json.text(payload.get("call_id")) or ""
        if self.ended is None and sources.instant(record.at) is not None:
            self.ended_at = record.at
        if kind == "agent_message":
            self._say(records.text(payload, "message") or "")
        elif item.get("type") == "AgentMessage":
            self._say(records.content(item))
        elif item:
            self._keep(loose_json.text(item.get("id")) or "", read_item(item))
        elif kind in _ANSWERS and call_id in self._calls and call_id not in self.items:
            call = Call(records.read_record(self._calls.pop(call_id)).payload)
            self._keep(call_id, call.answered(payload.get("output")))
        elif kind in _LATER:  # another program has written it in its own way
            told = {"type": "response_item", "payload": {"type": kind, **payload}}
            again = eventlines.line({"timestamp": record.at or "-", **told})
            if head := records.HEAD.match(again):
                self.puts_off(again, head, is_brief=False)
        elif kind in {"task_complete", "turn_aborted"} and self.ended is None:
            self.ended = records.ended(Turn(turn_id=""), record)
            answer = records.text(payload, "last_agent_message")
            if answer is not None and self.ended.state == "completed":
                self._say(answer)

    def end(self, version: str | None) -> tuple[Ended | None, str | None, str | None]:
        """Return how the turn ended, Codex's message and its error class."""
        if self.ended is None:
            has_said_all = self.turn_id is None and self._is_answered
            return "completed" if has_said_all else None, None, None
        if self.ended.state == "aborted":
            return None, None, None
        if self.ended.state != "completed":
            return "failed", self.ended.error_message, self.ended.error_class
        told = release(version)
        if self.answer is not None or told is None or told > _SILENT_ON_FAILURE:
            return "completed", None, None
        if self._is_limited():
            return "failed", _LIMITED, _LIMIT_CLASS
        return "failed", _NO_ANSWER, None

    def _say(self, text: str) -> None:
        said = eventlines.message(text)
        if next(reversed(self.items.values()), None) != said:  # some write it twice
            self._keep("", said)
        self.answer, self._is_answered = text or self.answer, True

    def _keep(self, item_id: str, item: Item | None) -> None:
        """Store an item; Codex's own item replaces the one of its call."""
        if item is not None:
            self.items[item_id or len(self.items)] = item

    def _is_limited(self) -> bool:
        limits = self._figures.limits()
        both = (limits.primary, limits.secondary) if limits else ()
        return any(limit and (limit.used_percent or 0) >= _ALL for limit in both)


class _Reader:
    def __init__(self, turns: list[_Turn]) -> None:
        self.turns = turns

    def feed(self, record: Record, place: int) -> None:
        kind, item = record.kind, item_of(record)
        if kind in {"task_started", "turn_context"}:
            self._meet_turn(record, place)
        elif kind == "user_message":
            self._hear(records.text(record.payload, "message"), record, place)
        elif item.get("type") == "UserMessage":
            self._hear(records.content(item), record, place)
        elif self.turns and kind not in {"message", "session_meta"}:  # repeat others
            self.turns[-1].take(record, item)

    def _meet_turn(self, record: Record, place: int) -> None:
        """Begin a turn, unless the record may belong to the last one."""
        turn_id = records.text(record.payload, "turn_id")
        last = self.turns[-1] if self.turns else None
        is_open = last and last.turn_id is None and last.ended is None
        if turn_id is not None and not (last and (is_open or last.turn_id == turn_id)):
            self.turns.append(last := _Turn(turn_id, record.at, place))
        if last is not None:
            last.turn_id = last.turn_id or turn_id
            last.model = records.text(record.payload, "model") or last.model
            last.cwd = records.text(record.payload, "cwd") or last.cwd

    def _hear(self, text: str | None, record: Record, place: int) -> None:
        if not text or eventlines.is_injected(text, record.payload.get("kind")):
            return
        last = self.turns[-1] if self.turns else None
        if not last or last.ended or (last.turn_id is None and last.prompt):
            self.turns.append(last := _Turn(None, record.at, place))
        last.prompt = last.prompt or text
