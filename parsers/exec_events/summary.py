"""The facts of a run, gathered line by line from `codex exec --json` (0.50 to 0.169).

Most lines of a run are commands with their output, answers and reasoning. `scan`
recognises them by their ends, so their texts are never decoded. Any other line is
decoded by `events`; both ways find the same.
"""

from __future__ import annotations

from parsers.exec_events import events, items, scan
from parsers.facts import OTHER_THREAD, Facts, warn
from parsers.lines import BLANK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedIOBase
    from typing import Final

    from parsers.accounting.tokens import Usage
    from parsers.facts import Ended

LISTED: Final = 200
FILES_LISTED: Final = 10_000
_NAME_LENGTH: Final = 80

_BLOCK: Final = 1 << 17
_AS_CODEX_WRITES: Final = scan.Dialect(b"{", b",", b":", b"}}\n")
_FAILED: Final = ("failed", "declined")
_OF_A_TURN: Final = (events.TurnStarted, events.TurnCompleted, events.TurnFailed)
_BOUNDARIES: Final = (events.ThreadStarted, *_OF_A_TURN)
# What Codex writes without an answer of the model; an item of type `error`, too.
_UNANSWERED: Final = (*_BOUNDARIES, events.ErrorReported)
_ENDED: Final[dict[type, Ended]] = {
    events.TurnCompleted: "completed",
    events.TurnFailed: "failed",
}
# Commands, which may not be decoded, are counted apart.
_NO_ACTIONS: Final = (
    *(items.AgentMessage, items.Command, items.ItemError, items.Reasoning),
    items.TodoList,
)
# `model rerouted: MODEL -> MODEL (…)`
_REROUTED: Final = ("model", "rerouted:")
_OMITTED: Final = (
    "Configured service tier `"  # TIER` … for model `MODEL` … be omitted …
)
# An edit of an edit: a file that was added and then updated was added.
_MERGED_KINDS: Final = {("add", "update"): "add", ("delete", "add"): "update"}


class EventSummary:
    """What the event lines that were fed so far say about a run.

    `has_begun` is True once a line proves that a turn has begun, so that Codex has
    taken its prompt. `progress` counts the lines, except reconnect errors, which
    `reconnects` counts, and lines that are no event. Lists are bounded to `LISTED`,
    `files_changed` (path to kind, in order) to `FILES_LISTED`.
    """

    def __init__(self) -> None:
        self.thread_id: str | None = None
        self.has_begun = False
        self.turns = 0
        self._is_in_turn = False
        self.broken_calls = 0
        self.ended: events.TurnCompleted | events.TurnFailed | None = None
        self.usage: Usage | None = None
        self.commands_failed = 0
        self.commands_refused = 0
        self._has_acted = False
        self.files_changed: dict[str, str] = {}
        self.errors: list[str] = []
        self._last_error: str | None = None
        self.warnings: dict[str, int] = {}
        self.agent_threads: list[str] = []
        self._reroutes: dict[str, str] = {}
        self._has_late_reroute = False
        self._omitted_tiers: set[tuple[str, str]] = set()
        self.progress = self.reconnects = self._unanswered = 0
        # The progress at the last reconnect error, and its message.
        self._reconnect: tuple[int, str | None] = (-1, None)
        self._commands_done = 0
        self._answer: bytes | str | None = None
        self._running: dict[bytes, bool] = {}  # item id to whether it is a command
        self._dialect = _AS_CODEX_WRITES

    @property
    def failure(self) -> str | None:
        """Codex's message on why the turn failed.

        Where the turn has no end: the last error, else the reconnect error that nothing
        came after.
        """
        if isinstance(self.ended, events.TurnCompleted):
            return None
        if self.ended is not None:
            return self.ended.message
        at, lost = self._reconnect
        return self._last_error or (lost if at == self.progress else None)

    @property
    def has_answered(self) -> bool:
        """Whether the model has answered anything."""
        return self.progress > self._unanswered

    @property
    def final_message(self) -> str | None:
        """The agent's last message in the last turn."""
        if isinstance(self._answer, bytes):
            match events.decode(self._answer):
                case events.ItemEvent(item=items.AgentMessage(text=text)):
                    self._answer = text
                case _:
                    self._answer = None
        return self._answer

    @property
    def commands_run(self) -> int:
        """How many commands were started."""
        return self._commands_done + sum(self._running.values())

    @property
    def is_command_running(self) -> bool:
        """Whether a command, an MCP tool or a call to another agent is under way."""
        return bool(self._running)

    def facts(self) -> Facts:
        """Return the facts so far."""
        return Facts(
            kind="events",
            session_id=self.thread_id,
            has_begun=self.has_begun,
            turns=self.turns,
            broken_calls=self.broken_calls,
            has_acted=self._has_acted or self.commands_run > 0,
            final_message=self.final_message,
            commands_run=self.commands_run,
            commands_failed=self.commands_failed,
            commands_refused=self.commands_refused,
            files_changed=self.files_changed,
            errors=tuple(self.errors),
            warnings=self.warnings,
            ended=_ENDED.get(type(self.ended)),
            failure=self.failure,
            usage=self.usage,
            agent_threads=tuple(self.agent_threads),
            reroutes=self._reroutes,
            has_late_reroute=self._has_late_reroute,
            omitted_tiers=frozenset(self._omitted_tiers),
        )

    def read(self, stream: BufferedIOBase) -> None:
        """Take a stream to its end.

        It reads blocks: a line is held as a whole only if it has to be decoded.
        """
        block = bytearray(_BLOCK)
        view, size = memoryview(block), 0
        while count := stream.readinto(view[size:]):
            size += count
            rest = self._take_block(block, size)
            if rest == 0 and size == _BLOCK:
                self._take_long(bytes(block), stream)
                rest = size
            view[: size - rest] = view[rest:size]
            size -= rest
        if size:
            self.finish(bytes(view[:size]))

    def read_lines(self, lines: Iterable[bytes]) -> None:
        """Take all lines of a stream, with their newlines, to its end."""
        for line in lines:
            if line.endswith(b"\n"):
                self.feed(line)
            else:
                self.finish(line)

    def finish(self, pending: bytes) -> events.Event | None:
        """Take the incomplete last line at the end of the stream; return as `feed`."""
        return self._take(pending, if_broken="unfinished_line")

    def feed(self, line: bytes) -> events.Event | None:
        """Take one complete line, with or without its newline.

        Returns:
            The event, or None if the line was recognised without decoding it.
        """
        if self._skim(line, 0, len(line)):
            return None
        return self._take(line, if_broken="undecodable_line")

    def _take_block(self, block: bytearray, size: int) -> int:
        """Take the complete lines of a block; return where the incomplete one begins.

        A command mostly ends on the line after its start. The two lines are taken at
        once: with the id, the end of the first and the begin of the second are known.
        """
        find, starts, ends = block.find, block.startswith, block.endswith
        running, begin = self._running, 0
        while end := find(b"\n", begin, size) + 1:
            dialect = self._dialect
            start = begin + len(dialect.started)
            if (
                starts(dialect.started, begin)
                and starts(dialect.command, stop := find(b'"', start, end))
                and (named := block[start : stop + len(dialect.command)])
                and starts(dialect.ending + named, end - len(dialect.running))
                and (last := find(b"\n", end, size) + 1)
                and (
                    (good := ends(dialect.succeeded, end, last))
                    or ends(dialect.failed, end, last)
                )
                and (not running or (named.isascii() and scan.BACKSLASH not in named))
            ):
                if running:
                    running.pop(bytes(named[: stop - start]), None)
                self._commands_done += 1
                self.commands_failed += not good
                self.commands_refused += not good and scan.is_refused(block, end, last)
                self.progress += 2
                self.has_begun = True
                begin = last
                continue
            if not self._skim(block, begin, end):
                self._take(bytes(block[begin:end]), if_broken="undecodable_line")
            begin = end
        return begin

    def _skim(self, block: bytes | bytearray, begin: int, end: int) -> bool:
        """Take a line by its two ends; return False if it has to be decoded."""
        seen = self._dialect.recognise(block, begin, end)
        if seen is None:
            return self._learn(block, begin, end) and self._skim(block, begin, end)
        kind, item_id = seen
        if kind == "started":
            self._running[item_id] = True
        elif kind == "message":
            self._answer = bytes(block[begin:end])
        elif kind != "reasoning":
            self._running.pop(item_id, None)
            self._commands_done += 1
            if kind == "failed":
                self.commands_failed += 1
                self.commands_refused += scan.is_refused(block, begin, end)
        self.progress += 1
        self.has_begun = True
        return True

    def _learn(self, block: bytes | bytearray, begin: int, end: int) -> bool:
        """Take over how the writer of a line spaces its tokens, if that is new."""
        if self._dialect.is_of(block, begin, end):
            return False
        spacing = scan.spacing(block, begin, end)
        if spacing is None or spacing == self._dialect.spacing:
            return False
        self._dialect = scan.Dialect(*spacing)
        return True

    def _take_long(self, begin: bytes, stream: BufferedIOBase) -> None:
        """Take a line that is longer than a block, by its ends if they are enough."""
        if not begin.strip(BLANK):
            return  # blanks before an object do not matter
        if not stream.seekable():
            self.read_lines([begin + stream.readline()])
            return
        place, end = stream.tell() - len(begin), begin[-scan.END_LENGTH :]
        while not end.endswith(b"\n") and (piece := stream.readline(_BLOCK)):
            end = (end + piece)[-scan.END_LENGTH :]
        ends = begin + b"\\" + end  # no id goes across this backslash
        if b'"agent_message"' not in begin and self._skim(ends, 0, len(ends)):
            return
        if scan.is_broken(begin, end):
            is_whole = end.endswith(b"\n")
            self._warn("undecodable_line" if is_whole else "unfinished_line")
        else:
            stream.seek(place)
            self.read_lines([stream.readline()])

    def _take(self, line: bytes, *, if_broken: str) -> events.Event:
        event = events.decode(line)
        if not isinstance(event, events.Undecodable):
            self.take(event)
        elif line.strip(BLANK):
            self._warn(if_broken)
        return event

    def take(self, event: events.Event) -> None:
        """Take one event that was decoded before."""
        match event:
            case events.ErrorReported(message=message, is_reconnect=True):
                self._reconnect = (self.progress, message)
                self.reconnects += 1
                self.broken_calls += events.is_broken_stream(message)
            case _:
                self.progress += 1
                is_error = isinstance(getattr(event, "item", None), items.ItemError)
                self._unanswered += is_error or isinstance(event, _UNANSWERED)
                if isinstance(event, _BOUNDARIES):
                    self._commands_done = self.commands_run
                    self._running.clear()
                    self.has_begun = self.has_begun or isinstance(event, _OF_A_TURN)
                self._note(event)

    def _note(self, event: events.Event) -> None:
        match event:
            case events.ThreadStarted(thread_id=thread_id):
                self.thread_id = self.thread_id or thread_id
                self._is_in_turn = False
                if thread_id != self.thread_id:
                    self._warn(OTHER_THREAD)
            case events.TurnStarted():
                self.ended = self._answer = None
                # Up to 0.98 those of sub-agents are written too, but not their ends.
                self.turns += not self._is_in_turn
                self._is_in_turn = True
            case events.TurnCompleted(usage=usage):
                self.ended, self.usage = event, usage
                self._is_in_turn = False
            case (
                events.TurnFailed(message=message)
                | events.ErrorReported(message=message)
            ):
                if isinstance(event, events.TurnFailed):
                    self.ended, self._is_in_turn = event, False
                self._last_error = message
                keep(self.errors, message)
            case events.ItemEvent(phase=phase, item=item):
                self._note_item(item, is_done=phase == "completed")
            case events.UnknownEvent(type=kind):
                self._warn(f"unknown_event:{kind[:_NAME_LENGTH]}")
            case events.Undecodable():
                pass  # counted before

    def _note_item(self, item: items.Item, *, is_done: bool) -> None:
        # 0.169 writes an error item before its turn; an unknown item may come so too.
        if not isinstance(item, items.ItemError | items.UnknownItem):
            self.has_begun = True
        self._has_acted = self._has_acted or not isinstance(item, _NO_ACTIONS)
        item_id = item.id.encode()
        match item:
            case items.Command(exit_code=code, status=status):
                is_failed = bool(code) or status in _FAILED
                self._note_call(item_id, is_done=is_done, is_command=True)
                self.commands_failed += is_done and is_failed
                self.commands_refused += is_done and is_failed and item.is_refused
            case items.AgentMessage(text=text) if is_done:
                self._answer = text
            case items.FileChange(status=status) if is_done and status not in _FAILED:
                self._note_changes(item.changes)
            case items.McpToolCall():
                self._note_call(item_id, is_done=is_done)
            case items.CollabToolCall(receiver_thread_ids=thread_ids):
                self._note_call(item_id, is_done=is_done)
                for thread_id in thread_ids:
                    keep(self.agent_threads, thread_id)
            case items.ItemError(message=message):
                self._note_error(message)
            case items.UnknownItem(type=kind):
                self._warn(f"unknown_item:{kind[:_NAME_LENGTH]}")
            case _:
                pass

    def _note_error(self, message: str) -> None:
        """Take what Codex says of a model call only here, not in its rollout."""
        words, quoted = message.split(maxsplit=5), message.split("`", 4)
        if tuple(words[:2]) == _REROUTED and words[3:4] == ["->"] and words[4:]:
            is_late = self._has_acted or self.commands_run or self._answer is not None
            self._has_late_reroute |= bool(is_late)
            self._reroutes[words[2]] = words[4]
        elif message.startswith(_OMITTED) and quoted[4:]:
            self._omitted_tiers.add((quoted[3], quoted[1]))

    def _note_call(
        self, item_id: bytes, *, is_done: bool, is_command: bool = False
    ) -> None:
        if is_done:
            self._running.pop(item_id, None)
            self._commands_done += is_command
        else:
            self._running[item_id] = is_command

    def _note_changes(self, changes: Iterable[items.Change]) -> None:
        for change in changes:
            before = self.files_changed.get(change.path, "")
            if not before and len(self.files_changed) >= FILES_LISTED:
                self._warn("file_not_listed")
                continue
            kind = _MERGED_KINDS.get((before, change.kind), change.kind)
            self.files_changed[change.path] = kind

    def _warn(self, name: str) -> None:
        warn(self.warnings, name)


def keep(kept: list[str], text: str) -> None:
    """Add a text that is not there yet to a list of at most `LISTED`."""
    if text not in kept and len(kept) < LISTED:
        kept.append(text)
