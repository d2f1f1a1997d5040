"""Read the task directories of the older `codex-tasks`, archived ones too.

    <root>/<thread id>/task.json task.log task.result task.pid [task.pipe]
    <root>/archive/YYYY/MM/DD/<thread id>/…

A stored state may be out of date: the log is read first, and the process of a task is
looked up. The log has Codex's unchanged lines, without times; before each
process the older tool wrote a `user_message`, and a `stderr` line for each line on
standard error.

The first generation ran one Codex per task and wrote a transcript: every heading begins
with its time in UTC (`[2025-09-22T19:02:11] codex`), with the text below it. A prompt
begins a run; the agent's answer is the end of its turn.
"""

from __future__ import annotations

import os

from parsers import loose_json
from parsers.exec_events.summary import EventSummary
from parsers.light import pattern
from parsers.rollouts.items import command
from parsers.struct import replace
from parsers.text import strip, uuid
from runner import files
from runner.foreign import eventlines, sources
from runner.foreign.holders import holder_of
from runner.foreign.sources import ForeignRun, History, Unreadable
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO, Final

    from parsers.exec_events.items import Item
    from parsers.facts import Ended
    from parsers.light import datetime
    from parsers.paths import Path

    # The time of a heading, the heading, what is said below it, and the last command.
    _Section = tuple[datetime | None, str, str, str]

RECORD: Final = "task.json"
ARCHIVE: Final = "archive"
_FILES: Final = (RECORD, "task.log", "task.result", "task.pid")
_BUCKETS_DEEP: Final = 3
_MAY_RUN: Final = ("RUNNING", "DIED", "IDLE")
_STATED: Final = {"STOPPED": Outcome.STOPPED, "DIED": Outcome.FAILED}
_FIRST_BYTES: Final = 4096
_BLANK: Final = b" \t\r\n\0\xef\xbb\xbf"
_LONGEST: Final = 500
_HEADING: Final = pattern(r"(?m)^\[([0-9T:.+Z-]{19,35})\] ?(.*)$")
_PROMPT: Final = pattern(r"(?:User instructions:|user)\s*(.*)")
_SESSION: Final = pattern(r"(?:codex session|session id:)\s+(\S+)")
_MODEL: Final = pattern(r"model:\s*(\S+)")
_EXEC: Final = pattern(r"exec (.+?)(?: in /.*)?")
_EXECUTED: Final = pattern(r"(.*?)\s?(?:succeeded|exited (-?[0-9]{1,9})) in .*:?")
_ERROR: Final = pattern(r"ERROR: (.*)")
_NOTES: Final = ("WARNING: ", "Reading prompt from stdin", "Reading additional input")


class _Record:
    """A task's directory and its task.json."""

    def __init__(
        self, directory: Path, fields: Mapping[str, object], *, is_archived: bool
    ) -> None:
        self._fields = fields
        self.directory, self.log = directory, directory / "task.log"
        self.id = (self.text("id") or directory.name).lower()
        self.state = self.text("state") or ""
        self.is_archived = is_archived or self.state == "ARCHIVED"
        self.read_to = 0  # the end of the last complete event
        # A failed run has emptied it.
        kept = files.read_text(directory / "task.result").strip()
        self.result = kept or self.text("last_result")
        self.prompts = self.text("initial_prompt"), self.text("last_prompt")
        created = sources.instant(fields.get("created_at"))
        updated = sources.instant(fields.get("updated_at"))
        written = sources.modified(self.log, directory)
        self.created_at = created or updated or written
        self.updated_at = max(self.created_at, updated or written)
        # Archiving has overwritten the time. A copy of the log may be of a later day.
        latest = min(written, self.updated_at) if self.is_archived else written
        is_told = self.state in _STATED
        self.ended_at = self.updated_at if is_told else max(self.created_at, latest)

    def text(self, name: str) -> str | None:
        return sources.said(self._fields.get(name))


def read_tasks(root: Path) -> Iterator[History | Unreadable]:
    """Read all tasks of a root, archived ones last, without those of this suite."""
    yield from filter(None, _read_directory(root, root))
    if files.is_directory(root / ARCHIVE):
        yield from filter(None, _read_directory(root / ARCHIVE, root, _BUCKETS_DEEP))


def read_task(directory: Path, root: Path | None = None) -> History | Unreadable | None:
    """Read one task; None when it is one of this suite.

    No link out of `root`, by default its directory, is followed.
    """
    for name in _FILES:
        if not sources.is_inside(directory / name, root or directory):
            return Unreadable(directory, f"{name}: {sources.LINK}")
    try:
        fields = sources.load(directory / RECORD)
    except OSError as error:
        return Unreadable(directory, f"{RECORD}: {sources.why(error)}")
    if is_ours(fields):
        return None
    holder = holder_of(directory) if fields.get("state") in _MAY_RUN else None
    try:
        is_archived = root is not None and directory.is_relative_to(root / ARCHIVE)
        found = _history(_Record(directory, fields, is_archived=is_archived))
        return replace(found, holder=holder)
    except sources.UNREADABLE as error:
        return Unreadable(directory, f"task.log: {sources.why(error)}")


def is_ours(fields: Mapping[str, object]) -> bool:
    """Return whether a task.json is of this suite, not of the older tool."""
    return isinstance(fields.get("runs"), list)


def is_event_log(path: Path) -> bool:
    """Return whether a log has events, not a transcript of the first generation.

    Raises:
        OSError: it cannot be read.
    """
    with sources.opened(path) as stream:
        head = stream.read(_FIRST_BYTES).lstrip(_BLANK)
    return not head or head.startswith(b"{")


def _read_directory(
    directory: Path, root: Path, buckets: int = 0
) -> Iterator[History | Unreadable | None]:
    """Read the tasks of a directory; for an archive, `buckets` levels deep."""
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        yield Unreadable(directory, sources.why(error))
        return
    for path in paths:
        if buckets and path.name.isdigit() and files.is_directory(path):
            yield from _read_directory(path, root, buckets - 1)
        elif uuid(path.name) is not None or os.path.lexists(path / RECORD):
            yield read_task(path, root)


def _history(record: _Record) -> History:
    thread_id, runs, is_transcript = None, list[ForeignRun](), False
    if os.path.lexists(record.log):
        is_transcript = not is_event_log(record.log)
        read = _read_transcript if is_transcript else _read_events
        thread_id, runs = read(record)
    if not runs and any((record.result, *record.prompts)):  # the log is gone, or empty
        at = record.created_at
        runs = [ForeignRun(started_at=at, ended_at=at, is_dated=False)]
    is_first = (
        is_transcript
        or thread_id not in {None, record.id}
        or record.state == "IDLE"
        or os.path.lexists(record.directory / "task.pipe")
    )
    return History(
        session_id=thread_id or (None if is_first else record.id),
        title=record.text("title"),
        created_at=record.created_at,
        updated_at=record.updated_at,
        working_dir=sources.directory(record.text("working_dir")),
        archived_at=record.updated_at if record.is_archived else None,
        kind="codex-tasks-fifo" if is_first else "codex-tasks",
        source=record.directory,
        written_at=sources.written_at(record.log, record.directory / RECORD),
        read_to=record.read_to,
        runs=_completed(record, runs) if runs else (),
    )


class _Invocation:
    """One process of the log; `first` and `end` bound its events."""

    def __init__(self, prompt: str | None) -> None:
        self.prompt = prompt
        self.stderr: list[str] = []
        self.summary = EventSummary()
        self.first: int | None = None
        self.end = 0

    def take(self, line: bytes, offset: int) -> None:
        self.summary.read_lines([line])
        self.first = offset if self.first is None else self.first
        self.end = offset + len(line)


def _read_events(record: _Record) -> tuple[str | None, list[ForeignRun]]:
    with sources.opened(record.log) as stream:
        found, record.read_to = _split(stream)
    named = (each.summary.thread_id for each in found)
    thread_id = next(filter(None, named), None)
    runs = []
    for each in found:
        said = (strip(line).strip() for line in each.stderr)
        words = [line for line in said if line and not line.startswith(_NOTES)]
        run = ForeignRun(
            prompt=each.prompt,
            facts=each.summary.facts(),
            events=None if each.first is None else (record.log, each.first, each.end),
            stderr=tuple(each.stderr),
            started_at=record.created_at,
            ended_at=record.created_at,
            is_dated=False,
            last_words=words[-1][:_LONGEST] if words else None,
            asked_for=thread_id or record.id,
        )
        runs.append(run)
    return thread_id, runs


def _split(stream: BinaryIO) -> tuple[list[_Invocation], int]:
    """Split a log of events into processes; a message without events begins none.

    Returns:
        The processes, and the end of the last complete line.
    """
    found, read_to = list[_Invocation](), 0
    for offset, line in sources.lines(stream):
        read_to = offset + len(line) if line.endswith(b"\n") else read_to
        kind = eventlines.kind_of(line)
        if kind is None:
            continue
        is_added = kind in eventlines.SYNTHETIC
        told = loose_json.load_or_empty(line) if is_added else {}
        text = loose_json.text(told.get("message"))
        last = found[-1] if found else None
        if kind == "user_message":
            if not eventlines.is_injected("", told.get("kind")):
                found.append(_Invocation(text))
            continue
        if last is None or (kind == "thread.started" and last.first is not None):
            found.append(last := _Invocation(None))
        if kind == "stderr":
            last.stderr.append(text or "")
        else:
            last.take(line, offset)
    return found, read_to


def _read_transcript(record: _Record) -> tuple[str | None, list[ForeignRun]]:
    data = sources.content(record.log).decode("utf-8", "replace")
    text = strip(data.replace("\0", ""))
    _, *rest = _HEADING.split(text.replace("\r\n", "\n"))
    thread_id = model = None
    line = ""
    found: list[tuple[ForeignRun, list[_Section]]] = []
    for time, head, below in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        when, heading, said = sources.instant(time), head.strip(), below.strip("\n")
        if prompt := _PROMPT.fullmatch(heading):
            asked = f"{prompt[1]}\n{said}".strip("\n")
            at = when or record.created_at
            run = ForeignRun(
                prompt=asked or None,
                started_at=at,
                ended_at=at,
                is_dated=when is not None,
                source_run_id=record.id,
            )
            if not eventlines.is_injected(asked):
                found.append((run, []))
        elif session := _SESSION.fullmatch(heading):
            thread_id = thread_id or uuid(session[1])
        elif named := _MODEL.fullmatch(heading):
            model = model or named[1]
        elif found:
            begun = _EXEC.fullmatch(heading)
            line = begun[1] if begun else line
            found[-1][1].append((when, heading, said, line))
    runs = [replace(_told(*each, thread_id), model=model) for each in found]
    return thread_id, runs


def _told(
    run: ForeignRun, sections: list[_Section], thread_id: str | None
) -> ForeignRun:
    """Add the sections below a prompt."""
    done: list[Item] = []
    ended: Ended | None = None
    failure, ended_at = None, run.ended_at
    for when, heading, said, line in sections:
        ended_at = max(run.started_at, when or ended_at)
        if heading == "codex":
            done.append(eventlines.message(said))
            ended = "completed"
        elif error := _ERROR.fullmatch(heading):
            ended, failure = "failed", f"{error[1]}\n{said}".strip()
        elif ended == "completed" and _EXEC.fullmatch(heading):
            ended = None
        elif executed := _EXECUTED.fullmatch(heading):
            done.append(command(line or executed[1], said, int(executed[2] or 0)))
    lines = eventlines.turn(thread_id, done, ended, failure)
    facts = eventlines.facts_of(lines)
    return replace(run, ended_at=ended_at, lines=lines, facts=facts)


def _completed(record: _Record, runs: list[ForeignRun]) -> tuple[ForeignRun, ...]:
    """Number the runs, and add the record's values to the first and the last."""
    runs = [replace(run, number=number) for number, run in enumerate(runs)]
    initial_prompt, last_prompt = record.prompts
    first, last, state = runs[0], runs[-1], record.state
    runs[0] = replace(first, prompt=first.prompt or initial_prompt)
    facts, lines, answer = last.facts, last.lines, record.result
    stated = _STATED.get(state)
    # Codex writes an answer only for a completed turn.
    is_good = facts.ended == "completed" or state not in {"RUNNING", "DIED"}
    if answer and is_good and facts.ended != "failed":
        stated = Outcome.SUCCEEDED
        if not last.answer:
            end = () if facts.ended else eventlines.end("completed")
            said = eventlines.completed(0, eventlines.message(answer))
            lines = (*lines, said, *end)
            facts = replace(facts, final_message=answer, ended="completed")
    prompt = last.prompt or last_prompt or runs[-1].prompt
    last = replace(last, prompt=prompt, facts=facts, lines=lines, stated=stated)
    if not last.is_dated:
        at = record.ended_at if last.number else record.created_at
        is_only = not last.number
        last = replace(last, started_at=at, ended_at=record.ended_at, is_dated=is_only)
    return (*runs[:-1], last)
