"""Read the jobs of the older `codex-agent`, of both generations.

    <root>/jobs/<id>.json .prompt .log [.turn-complete .turn-log.jsonl .exitcode .sh]
    <root>/codex-agent.db   the table `jobs`, with the same fields

A log holds the events of `codex exec`, or what a terminal showed. A job is one run: the
older tool recorded neither the prompts nor the times of later turns. It also recorded
as completed what was only gone, so its word counts where an end is on record.
"""

from __future__ import annotations

import os

from parsers import loose_json
from parsers.exec_events.summary import EventSummary
from parsers.light import pattern
from parsers.rollouts.items import file_change
from parsers.struct import Struct, replace
from parsers.text import HEX, strip, uuid
from parsers.text_logs.screen import clean
from runner import files
from runner.errors import LedgerFault
from runner.foreign import eventlines, sources
from runner.foreign.holders import JobProcesses
from runner.foreign.sources import ForeignRun, History, Unreadable
from runner.ledger.foreign_table import rows_of
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Final

    from parsers.exec_events.items import Item
    from parsers.facts import Ended, Facts
    from parsers.light import datetime
    from parsers.paths import Path

KIND: Final = "codex-agent"
DATABASE: Final = "codex-agent.db"
_JOBS: Final = "jobs"
_RECORD: Final = ".json"
_FILES: Final = (_RECORD, ".prompt", ".log", ".turn-complete", ".turn-log.jsonl")
_ID_LENGTH: Final = 8
_AT_WORK: Final = ("pending", "running")
_FULL: Final = "context_window_exceeded"
_END_BYTES: Final = 4096
_LONGEST_LINE: Final = 65_536
_LONGEST_RESULT: Final = 1 << 20
_EXIT: Final = pattern(r'COMMAND_EXIT_CODE="(-?[0-9]{1,9})"')
_THREAD: Final = pattern(
    r"(?i)(?:session id:\s*|session_id[:=]\s*|codex resume )"
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"
)
# How the older tool worded these ends.
_STATED: Final = (
    ("Killed by user", Outcome.STOPPED),
    ("Timed out after", Outcome.STALLED),
)


class AgentJob(Struct):
    """A job of the older tool: its record, and its run as a history."""

    id: str
    effort: str | None
    parent: str | None
    history: History


class _Record:
    """The fields of a job with its files; the newer of its file and its row."""

    def __init__(
        self, jobs: Path, job_id: str, fields: Mapping[str, object], at: int
    ) -> None:
        self.id, self._jobs, self._fields = job_id, jobs, fields
        self.source, self.log = self.path(_RECORD), self.path(".log")
        self.written_at = max(at, sources.written_at(*map(self.path, _FILES)))
        self.status, self.error = self.text("status"), self.text("error")
        turns = files.read_if_there(self.path(".turn-log.jsonl")).splitlines()
        said = turns[-1] if turns else files.read_if_there(self.path(".turn-complete"))
        self.turn = loose_json.load_or_empty(said)
        self.turns = max(loose_json.integer(fields.get("turnCount")) or 0, len(turns))
        created = sources.instant(fields.get("createdAt"))
        self.created_at = created or sources.modified(self.log, self.source)
        began = sources.instant(fields.get("startedAt"))
        self.has_begun = began is not None
        self.began_at = max(self.created_at, began or self.created_at)
        ended = sources.instant(fields.get("completedAt")) or self.last_turn_at
        self.ended_at = max(self.began_at, ended or sources.modified(self.log))

    def path(self, kind: str) -> Path:
        return self._jobs / f"{self.id}{kind}"

    def text(self, name: str) -> str | None:
        return sources.said(self._fields.get(name))

    @property
    def last_turn_at(self) -> datetime | None:
        told = self._fields.get("lastTurnCompletedAt") or self.turn.get("timestamp")
        return sources.instant(told)

    @property
    def answer(self) -> str | None:
        """The last message; of the first generation, what the terminal showed."""
        told = sources.said(self.turn.get("lastAgentMessage"))
        found = told or self.text("lastAgentMessage")
        shown = (self.text("result") or "")[-_LONGEST_RESULT:]
        return found or clean(shown).strip() or None

    @property
    def exit_code(self) -> int | None:
        """The code that was recorded; 0 may be that of another program of the pipe."""
        told = self._fields.get("exitCode")
        if told is None:
            told = files.read_text(self.path(".exitcode"))
        _, end = files.read_end(self.log, _END_BYTES)
        by_script = _EXIT.findall(end.decode(errors="replace"))
        return loose_json.integer(by_script[-1] if by_script else told)

    @property
    def has_end(self) -> bool:
        """Whether the end of a turn is on record, or that of the terminal's program."""
        has_turn = self.turns > 0 or self.last_turn_at is not None
        _, end = files.read_end(self.log, _END_BYTES)
        return has_turn or 'COMMAND_EXIT_CODE="0"' in end.decode(errors="replace")

    def enriched(self, name: str) -> object:
        return loose_json.mapping(self._fields.get("enrichment")).get(name)

    @property
    def pid(self) -> int | None:
        return loose_json.integer(self._fields.get("pid"))


def read_agent_jobs(
    place: Path, only: Collection[str] | None = None
) -> Iterator[AgentJob | Unreadable]:
    """Read all jobs of a directory, or those with some ids: `.codex-agent`, or `jobs`.

    No link out of the directory is followed.
    """
    jobs, processes = jobs_of(place), JobProcesses()
    rows: dict[str, Mapping[str, object]] = {}
    try:
        found = rows_of(jobs.parent / DATABASE, "jobs")
        rows = {f"{row.get('id')}": _fields_of(row) for row in found}
    except LedgerFault as error:
        yield Unreadable(jobs.parent / DATABASE, error.reason)
    try:
        names = dict.fromkeys(sorted(path.name for path in jobs.iterdir()))
    except OSError as error:
        if not rows:
            yield Unreadable(jobs, sources.why(error))
            return
        names = {}
    kinds = (_RECORD, ".log") if only is None else (_RECORD,)
    in_files = {name.partition(".")[0] for name in names if name.endswith(kinds)}
    for job_id in sorted(filter(_is_id, in_files.union(rows))):
        if only is None or job_id in only:
            yield from _read(jobs, job_id, rows.get(job_id), processes)


def jobs_of(place: Path) -> Path:
    """Return the directory of the jobs, which is given or below."""
    below = place / _JOBS
    is_above = files.is_directory(below) or files.is_regular(place / DATABASE)
    return below if is_above else place


def _is_id(text: str) -> bool:
    return len(text) == _ID_LENGTH and HEX.issuperset(text)


def _fields_of(row: Mapping[str, object]) -> dict[str, object]:
    """Name the columns of a row as the fields of a file."""
    found: dict[str, object] = {}
    for name, value in row.items():
        first, *rest = name.split("_")
        found[first + "".join(map(str.capitalize, rest))] = value
    told = loose_json.text(found.get("enrichmentJson")) or ""
    return {**found, "enrichment": loose_json.object_in(told)}


def _read(
    jobs: Path,
    job_id: str,
    row: Mapping[str, object] | None,
    processes: JobProcesses,
) -> Iterator[AgentJob | Unreadable]:
    path, fields = jobs / f"{job_id}{_RECORD}", row
    for kind in _FILES:
        if not sources.is_inside(jobs / f"{job_id}{kind}", jobs):
            yield Unreadable(jobs / f"{job_id}{kind}", sources.LINK)
            return
    at = sources.instant((row or {}).get("updatedAt"))
    written = int(at.timestamp() * 1e9) if at else 0
    if row is None or os.path.lexists(path):
        try:
            told = sources.load(path)
            if told.get("id") != job_id:
                yield Unreadable(path, "it is not the record of this job")
            elif row is None or sources.written_at(path) > written:
                fields = told
        except FileNotFoundError:
            yield Unreadable(jobs / f"{job_id}.log", "it has no record")
        except OSError as error:
            yield Unreadable(path, sources.why(error))
    if fields is None:
        return
    record = _Record(jobs, job_id, fields, written)
    try:
        history = _history(record, processes)
    except sources.UNREADABLE as error:
        yield Unreadable(record.log, sources.why(error))
        return
    effort, parent = record.text("reasoningEffort"), record.text("parentSessionId")
    yield AgentJob(id=job_id, effort=effort, parent=parent, history=history)


def _history(record: _Record, processes: JobProcesses) -> History:
    thread, run = _run(record)
    created, holder = record.created_at.timestamp(), None
    if record.status in _AT_WORK:
        holder = processes.holder(record.path(""), record.pid, created)
    return History(
        session_id=thread,
        created_at=record.created_at,
        updated_at=record.ended_at,
        working_dir=sources.directory(record.text("cwd")),
        kind=KIND,
        source=record.source,
        written_at=record.written_at,
        holder=holder,
        runs=(run,),
    )


def _run(record: _Record) -> tuple[str | None, ForeignRun]:
    """Return the thread of a job, if it is known, and the job as a run."""
    prompt = files.read_text(record.path(".prompt")) or record.text("prompt")
    stated = _stated(record)
    run = ForeignRun(
        prompt=prompt,
        started_at=record.began_at,
        ended_at=record.ended_at,
        is_dated=record.has_begun,
        error_class=_FULL if record.text("turnState") == "context_limit" else None,
        last_words=record.error,
        stated=stated,
        exit_code=record.exit_code or None,
        model=record.text("model"),
        source_run_id=record.id,
    )
    thread, facts = _read_log(record.log)
    if facts is not None:
        events = (record.log, 0, None)
        # The code of the first program of a pipe: Codex's own end decides.
        stated = None if stated is Outcome.SUCCEEDED else stated
        return thread, replace(run, facts=facts, events=events, stated=stated)
    return thread, _told(record, run)


def _told(record: _Record, run: ForeignRun) -> ForeignRun:
    """Add what the record says of a job whose log has no events."""
    is_idle = record.status in _AT_WORK and record.text("turnState") == "idle"
    is_good = record.status == "completed" or is_idle
    ended: Ended | None = "completed" if is_good and record.has_end else None
    done: list[Item] = []
    changed = loose_json.sequence(record.enriched("filesModified"))
    if paths := list(map(str, changed)):
        done.append(file_change([(path, "update") for path in paths]))
    if answer := record.answer:
        done.append(eventlines.message(answer))
    if ended is None and not (done and record.has_begun):
        return run
    lines = eventlines.turn(None, done, ended)
    tokens = loose_json.mapping(record.enriched("tokens"))
    parts = [loose_json.integer(tokens.get(name)) for name in ("input", "output")]
    known = [each for each in parts if each is not None]
    total = sum(known) if len(known) == len(parts) else None
    facts = replace(eventlines.facts_of(lines), total_tokens=total)
    return replace(run, facts=facts, lines=lines)


def _stated(record: _Record) -> Outcome | None:
    if record.status == "completed":
        return Outcome.SUCCEEDED if record.has_end else None
    if record.status == "failed":
        told = record.error or ""
        found = (word for start, word in _STATED if told.startswith(start))
        return next(found, Outcome.FAILED)
    is_new = record.status == "pending" and not record.has_begun
    return Outcome.NOT_STARTED if is_new else None


def _read_log(log: Path) -> tuple[str | None, Facts | None]:
    """Read a log to its end; the facts are None when it has no events."""
    if not os.path.lexists(log):
        return None, None
    summary, named = EventSummary(), list[str | None]()

    def events() -> Iterator[bytes]:
        for line in sources.texts(stream):
            if line.startswith(b"{"):
                yield line
            elif not named and len(line) <= _LONGEST_LINE and b"ession" in line:
                found = _THREAD.search(strip(line.decode(errors="replace")))
                named.extend([uuid(found[1])] if found else [])

    with sources.opened(log) as stream:
        summary.read_lines(events())
    if summary.thread_id is not None:
        return uuid(summary.thread_id), summary.facts()
    return next(iter(named), None), None
