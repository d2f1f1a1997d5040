"""The facts of a run, gathered line by line from `codex exec --json` (0.50 to 0.169).

Most lines of a run are commands with their output, answers and reasoning. These are
recognised by their first bytes, and a command's outcome by its last ones, so their
texts are never decoded. Any other line is decoded by `events`; both ways find the same.
"""

from __future__ import annotations

import re

from parsers.exec_events import events, items
from parsers.facts import Facts
from parsers.lines import BLANK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from parsers.accounting.tokens import Usage
    from parsers.facts import Ended

LISTED: Final = 200
FILES_LISTED: Final = 10_000
_NAMES_KEPT: Final = 100
_NAME_LENGTH: Final = 80

# serde writes the fields of an event in this order in every version from 0.50.
_HEAD: Final = re.compile(
    rb'\{"type":"item\.(started|completed)",'
    rb'"item":\{"id":"([^"\\]*)","type":"([a-z_]+)"'
)
# A quote right before the outcome ends the output: inside the output, that quote and
# those of the outcome would be escaped.
_OUTCOME: Final = re.compile(
    rb'"(?:,"exit_code":(null|-?[0-9]+))?,"status":"([a-z_]+)"\}\}\s*\Z'
)
_OUTCOME_LENGTH: Final = 120
_ITEM_ENDS: Final = (b'"}}\n', b'"}}')
_GOOD_OUTCOMES: Final = (
    b'","exit_code":0,"status":"completed"}}\n',
    b'","exit_code":null,"status":"in_progress"}}\n',
)
_GOOD_CODES: Final = (None, b"null", b"0")
_FAILED: Final = ("failed", "declined")
_OF_A_TURN: Final = (events.TurnStarted, events.TurnCompleted, events.TurnFailed)
_BOUNDARIES: Final = (events.ThreadStarted, *_OF_A_TURN)
_ENDED: Final[dict[type, Ended]] = {
    events.TurnCompleted: "completed",
    events.TurnFailed: "failed",
}
# An edit of an edit: a file that was added and then updated was added.
_MERGED_KINDS: Final = {("add", "update"): "add", ("delete", "add"): "update"}


class EventSummary:
    """What the event lines that were fed so far say about a run.

    `has_begun` is True once a line proves that a turn has begun, so that Codex has
    taken its prompt. `progress` counts the lines, except reconnect errors and lines
    that are no event. Lists are bounded to `LISTED`, `files_changed` (path to kind, in
    order) to `FILES_LISTED`.
    """

    def __init__(self) -> None:
        self.thread_id: str | None = None
        self.has_begun = False
        self.ended: events.TurnCompleted | events.TurnFailed | None = None
        self.usage: Usage | None = None
        self.commands_failed = 0
        self.files_changed: dict[str, str] = {}
        self.errors: list[str] = []
        self._last_error: str | None = None
        self.warnings: dict[str, int] = {}
        self.agent_threads: list[str] = []
        self.progress = 0
        # The progress at the last reconnect error, and its message.
        self._reconnect: tuple[int, str | None] = (-1, None)
        self._commands_done = 0
        self._answer: bytes | str | None = None
        self._running: dict[bytes, bool] = {}  # item id to whether it is a command

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
            final_message=self.final_message,
            commands_run=self.commands_run,
            commands_failed=self.commands_failed,
            files_changed=self.files_changed,
            errors=tuple(self.errors),
            warnings=self.warnings,
            ended=_ENDED.get(type(self.ended)),
            failure=self.failure,
            usage=self.usage,
            agent_threads=tuple(self.agent_threads),
        )

    def read(self, lines: Iterable[bytes]) -> None:
        """Take all lines of a stream, with their newlines, to its end."""
        feed = self.feed
        for line in lines:
            if line.endswith(b"\n"):
                feed(line)
            else:
                self.finish(line)

    def finish(self, pending: bytes) -> None:
        """Take the incomplete last line at the end of the stream."""
        self._take(pending, if_broken="unfinished_line")

    def feed(self, line: bytes) -> None:
        """Take one complete line, with or without its newline."""
        head = _HEAD.match(line)
        if head is None or not self._skim(line, head):
            self._take(line, if_broken="undecodable_line")

    def _skim(self, line: bytes, head: re.Match[bytes]) -> bool:
        phase, item_id, kind = head.groups()
        if kind == b"command_execution":
            is_failed = False
            if not line.endswith(_GOOD_OUTCOMES):
                outcome = _OUTCOME.search(
                    line, max(head.end(), len(line) - _OUTCOME_LENGTH)
                )
                if outcome is None:
                    return False
                code, status = outcome.groups()
                is_failed = code not in _GOOD_CODES or status.decode() in _FAILED
            is_done = phase == b"completed"
            self._note_call(item_id, is_done=is_done, is_command=True)
            self.commands_failed += is_done and is_failed
        elif phase != b"completed" or not line.endswith(_ITEM_ENDS):
            return False
        elif kind == b"agent_message":
            self._answer = line
        elif kind != b"reasoning":
            return False
        self.progress += 1
        self.has_begun = True
        return True

    def _take(self, line: bytes, *, if_broken: str) -> None:
        match events.decode(line):
            case events.Undecodable():
                if line.strip(BLANK):
                    self._warn(if_broken)
            case events.ErrorReported(message=message, is_reconnect=True):
                self._reconnect = (self.progress, message)
            case event:
                self.progress += 1
                if isinstance(event, _BOUNDARIES):
                    self._commands_done = self.commands_run
                    self._running.clear()
                    self.has_begun = self.has_begun or isinstance(event, _OF_A_TURN)
                self._note(event)

    def _note(self, event: events.Event) -> None:
        match event:
            case events.ThreadStarted(thread_id=thread_id):
                self.thread_id = self.thread_id or thread_id
                if thread_id != self.thread_id:
                    self._warn("other_thread_announced")
            case events.TurnStarted():
                self.ended = self._answer = None
            case events.TurnCompleted(usage=usage):
                self.ended, self.usage = event, usage
            case (
                events.TurnFailed(message=message)
                | events.ErrorReported(message=message)
            ):
                if isinstance(event, events.TurnFailed):
                    self.ended = event
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
        item_id = item.id.encode()
        match item:
            case items.Command(exit_code=code, status=status):
                is_failed = bool(code) or status in _FAILED
                self._note_call(item_id, is_done=is_done, is_command=True)
                self.commands_failed += is_done and is_failed
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
            case items.UnknownItem(type=kind):
                self._warn(f"unknown_item:{kind[:_NAME_LENGTH]}")
            case _:
                pass

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
        if name not in self.warnings and len(self.warnings) >= _NAMES_KEPT:
            name = "other"
        self.warnings[name] = self.warnings.get(name, 0) + 1


def keep(kept: list[str], text: str) -> None:
    """Add a text that is not there yet to a list of at most `LISTED`."""
    if text not in kept and len(kept) < LISTED:
        kept.append(text)
