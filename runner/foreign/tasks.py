"""Read the task directories of the older `codex-tasks`, archived ones too.

    <root>/<thread id>/task.json task.log task.result task.pid [task.pipe]
    <root>/archive/YYYY/MM/DD/<thread id>/…

A stored state may be out of date: the log is read first, and a task whose process still
exists is left alone. Codex's lines stand in the log as it wrote them, without times;
before each process the older tool wrote a `user_message`, and a `stderr` line for each
line on standard error.
"""

from __future__ import annotations

import os

from parsers import loose_json
from parsers.exec_events.summary import EventSummary
from parsers.facts import facts_of_summary
from parsers.struct import replace
from parsers.text import strip, uuid
from runner import files
from runner.foreign import eventlines, sources
from runner.foreign.history import ForeignRun, History, Unreadable
from runner.foreign.transcripts import read_transcript
from runner.model import Outcome
from runner.process.table import exists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO, Final

RECORD: Final = "task.json"
ARCHIVE: Final = "archive"
_LARGEST_PID: Final = 1 << 31
_BUCKETS_DEEP: Final = 3
_MAY_RUN: Final = ("RUNNING", "DIED", "IDLE")
_STATED: Final = {"STOPPED": Outcome.STOPPED, "DIED": Outcome.FAILED}
_FIRST_BYTES: Final = 4096
_BLANK: Final = b" \t\r\n\0\xef\xbb\xbf"
_LONGEST: Final = 500
_NOTES: Final = ("WARNING: ", "Reading prompt from stdin", "Reading additional input")


class _Record:
    """A task's directory and what its task.json says."""

    def __init__(
        self, directory: Path, fields: Mapping[str, object], *, is_archived: bool
    ) -> None:
        self._fields = fields
        self.directory, self.log = directory, directory / "task.log"
        self.id = (self.text("id") or directory.name).lower()
        self.state = self.text("state")
        self.is_archived = is_archived or self.state == "ARCHIVED"
        # A run that failed has emptied it.
        kept = files.read_text(directory / "task.result").strip()
        self.result = kept or self.text("last_result")
        created = sources.instant(fields.get("created_at"))
        updated = sources.instant(fields.get("updated_at"))
        written = sources.modified(self.log, directory)
        self.created_at = created or updated or written
        self.updated_at = max(self.created_at, updated or written)
        # Archiving has written over the time. A copy of the log may be of a later day.
        latest = min(written, self.updated_at) if self.is_archived else written
        is_told = self.state in _STATED
        self.ended_at = self.updated_at if is_told else max(self.created_at, latest)

    def text(self, name: str) -> str | None:
        return sources.said(self._fields.get(name))


def read_tasks(root: Path) -> Iterator[History | Unreadable]:
    """Read all tasks of a root, the archived ones last; our own are left out."""
    yield from _read_directory(root, depth=0)
    if files.is_directory(root / ARCHIVE):
        yield from _read_directory(root / ARCHIVE, is_archive=True, depth=0)


def read_task(
    directory: Path, *, is_archived: bool = False
) -> Iterator[History | Unreadable]:
    """Read one task; one of our own gives nothing."""
    try:
        fields = sources.load(directory / RECORD)
    except OSError as error:
        yield Unreadable(directory, f"{RECORD}: {sources.why(error)}")
        return
    if is_ours(fields):
        return
    if (pid := _living_pid(directory)) and fields.get("state") in _MAY_RUN:
        reason = f"it seems to be running (pid {pid}): import it when it has ended"
        yield Unreadable(directory, reason)
        return
    try:
        yield _history(_Record(directory, fields, is_archived=is_archived))
    except sources.UNREADABLE as error:
        yield Unreadable(directory, f"task.log: {sources.why(error)}")


def is_ours(fields: Mapping[str, object]) -> bool:
    """Tell a task.json of this suite from one of the older tool."""
    return isinstance(fields.get("runs"), list)


def is_event_log(stream: BinaryIO) -> bool:
    """Tell a log of events from a transcript, as the first generation wrote."""
    head = stream.read(_FIRST_BYTES).lstrip(_BLANK)
    stream.seek(0)
    return not head or head.startswith(b"{")


def _read_directory(
    directory: Path, *, is_archive: bool = False, depth: int
) -> Iterator[History | Unreadable]:
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        yield Unreadable(directory, sources.why(error))
        return
    for path in paths:
        is_bucket = is_archive and depth < _BUCKETS_DEEP and path.name.isdigit()
        if is_bucket and files.is_directory(path):
            yield from _read_directory(path, is_archive=True, depth=depth + 1)
        elif uuid(path.name) is not None or os.path.lexists(path / RECORD):
            yield from read_task(path, is_archived=is_archive)


def _living_pid(directory: Path) -> int | None:
    pid = loose_json.integer(files.read_text(directory / "task.pid"))
    return pid if pid and 0 < pid < _LARGEST_PID and exists(pid) else None


def _history(record: _Record) -> History:
    """Read a task.

    Raises:
        OSError: its log is there and cannot be read.
    """
    thread_id, runs, is_transcript = None, list[ForeignRun](), False
    if os.path.lexists(record.log):
        with sources.opened(record.log) as stream:
            is_transcript = not is_event_log(stream)
            if not is_transcript:
                thread_id, runs = _read_events(stream, record)
        if is_transcript:
            data = sources.content(record.log)
            thread_id, runs = read_transcript(data, record.id, record.created_at)
    is_first = is_transcript or thread_id not in {None, record.id}
    is_first = is_first or record.state == "IDLE"
    is_first = is_first or os.path.lexists(record.directory / "task.pipe")
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
        runs=_completed(record, runs or _run_of_record(record)),
    )


def _read_events(
    stream: BinaryIO, record: _Record
) -> tuple[str | None, list[ForeignRun]]:
    found = _split(stream)
    named = (each.summary.thread_id for each in found)
    thread_id = next(filter(None, named), None)
    runs = [
        ForeignRun(
            prompt=each.prompt,
            facts=facts_of_summary(each.summary),
            events=None if each.first is None else (record.log, each.first, each.end),
            stderr=tuple(each.stderr),
            started_at=record.created_at,
            ended_at=record.created_at,
            is_dated=False,
            last_words=_last_words(each.stderr),
            asked_for=thread_id or record.id,
        )
        for each in found
    ]
    return thread_id, runs


class _Invocation:
    """What the log says of one process; `first` and `end` bound its events."""

    def __init__(self, prompt: str | None) -> None:
        self.prompt = prompt
        self.stderr: list[str] = []
        self.summary = EventSummary()
        self.first: int | None = None
        self.end = 0

    def take(self, line: bytes, offset: int) -> None:
        if line.endswith(b"\n"):
            self.summary.feed(line)
        else:
            self.summary.finish(line)
        self.first = offset if self.first is None else self.first
        self.end = offset + len(line)


def _split(stream: BinaryIO) -> list[_Invocation]:
    """Split a log of events into processes; a message without its own begins none."""
    found: list[_Invocation] = []
    for offset, line in sources.lines(stream):
        kind = eventlines.kind_of(line)
        if kind is None:
            continue
        told = eventlines.fields(line) if kind in eventlines.SYNTHETIC else {}
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
    return found


def _run_of_record(record: _Record) -> list[ForeignRun]:
    """Make a run of what the record alone says: its log is gone, or empty."""
    if not (
        record.result or record.text("last_prompt") or record.text("initial_prompt")
    ):
        return []
    at = record.created_at
    return [ForeignRun(started_at=at, ended_at=at, is_dated=False)]


def _completed(record: _Record, runs: list[ForeignRun]) -> tuple[ForeignRun, ...]:
    """Number the runs, and add what only the record knows of the first and the last."""
    if not runs:
        return ()
    runs = [replace(run, number=number) for number, run in enumerate(runs)]
    first, last = runs[0], runs[-1]
    runs[0] = replace(first, prompt=first.prompt or record.text("initial_prompt"))
    if not last.is_dated:
        at = record.ended_at if last.number else record.created_at
        is_only = not last.number
        last = replace(last, started_at=at, ended_at=record.ended_at, is_dated=is_only)
    prompt, state = last.prompt or record.text("last_prompt"), record.state
    last = replace(last, prompt=prompt, stated=_STATED.get(state or ""))
    # Codex writes an answer only when its turn is completed.
    facts, lines, answer = last.facts, last.lines, record.result
    is_good = facts.ended == "completed" or state not in {"RUNNING", "DIED"}
    if answer and is_good and facts.ended != "failed":
        if not last.answer:
            end = () if facts.ended else eventlines.end("completed")
            lines = (*lines, eventlines.answer(answer), *end)
            facts = replace(facts, final_message=answer, ended="completed")
        last = replace(last, facts=facts, lines=lines, stated=Outcome.SUCCEEDED)
    return (*runs[:-1], last)


def _last_words(stderr: Sequence[str]) -> str | None:
    """Return the last line on standard error that is no mere note."""
    said = (strip(line).strip() for line in stderr)
    words = [line for line in said if line and not line.startswith(_NOTES)]
    return words[-1][:_LONGEST] if words else None
