"""Convert runs of other tools to finished runs, and insert them.

No foreign record decides what is run here, where, or how: the options of an imported
run are empty. A run's id is computed from the source, so a run gets the same id at
every import.
"""

from __future__ import annotations

from hashlib import sha256

from parsers.accounting.tokens import Usage
from parsers.light import timedelta
from parsers.struct import Struct, replace
from parsers.text import uuid
from runner import files
from runner.accounting.rollouts import AFTERMATH, Slice
from runner.accounting.run import LogContext, account_log, unknown
from runner.clock import iso
from runner.foreign import sources
from runner.foreign.eventlines import event_lines
from runner.ledger.database import clean
from runner.lifecycle.judge import Ending, Evidence, Exit, judge, verdict
from runner.model import (
    CodexOptions,
    Finished,
    Mode,
    Outcome,
    Run,
    RunId,
    SessionId,
    Spec,
)
from runner.prompt.read import preview
from runner.run_files import files_of, own_directory
from runner.service import rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.accounting.rollouts import Rollouts
    from runner.accounting.run import RunAccounting
    from runner.config import Config
    from runner.foreign.sources import ForeignRun, History
    from runner.ledger.ledger import Ledger
    from runner.model import Verdict

_TICK = timedelta(microseconds=1)
_BASH = "run_codex_task.sh"
_ERRORS = {
    Outcome.STOPPED: "it was stopped before its turn ended",
    Outcome.TIMED_OUT: "the run exceeded its time limit",
    Outcome.FAILED: "the older tool recorded that it died, without a reason",
    Outcome.LOST: "its turn has no recorded end",
}


class Known(Struct):
    """A session as the ledger has it.

    `identities` are those of its runs; `given` are the runs from the present source.
    `is_newer` is true when that source was written since, `is_mixed` when the session
    has other runs too.
    """

    key: int
    runs: tuple[str, ...]
    identities: frozenset[str]
    given: tuple[str, ...]
    is_newer: bool
    is_mixed: bool


def parts_of(history: History) -> list[History]:
    """Split runs without a thread: each is a session of its own."""
    thread_id = uuid(history.session_id)
    parts = [history.runs] if thread_id else [(run,) for run in history.runs]
    return [replace(history, session_id=thread_id, runs=runs) for runs in parts]


def ids_of(part: History) -> list[RunId]:
    """Compute the ids of the runs of a part: in order, the same at every import."""
    found: list[RunId] = []
    at = None
    for run in part.runs:
        at = run.started_at if at is None else max(run.started_at, at + _TICK)
        identity = identity_of(part, run).encode(errors="replace")
        found.append(RunId(f"{at:%Y%m%d-%H%M%S-%f}-{sha256(identity).hexdigest()[:8]}"))
    return found


def identity_of(part: History, run: ForeignRun) -> str:
    """Return the identity of a run, the same at every import."""
    if part.session_id is not None:
        return f"{part.session_id} {run.number}"
    name = run.source_run_id or part.source.name
    return f"{part.kind} {name} {run.number}"


def dated(part: History, rollout: History | None) -> History:
    """Replace guessed times of runs by those of their turns.

    Turns and runs are matched by their prompts: none may differ, and when there are
    more turns than runs, all must be equal.
    """
    turns = rollout.runs if rollout is not None else ()
    if all(run.is_dated for run in part.runs) or len(turns) < len(part.runs):
        return part
    for run, turn in zip(part.runs, turns, strict=False):
        asked, heard = (" ".join((each.prompt or "").split()) for each in (run, turn))
        is_silent = len(turns) == len(part.runs) and not (asked and heard)
        if asked != heard and not is_silent:
            return part
    runs = (
        replace(run, started_at=turn.started_at, ended_at=turn.ended_at, is_dated=True)
        for run, turn in zip(part.runs, turns, strict=False)
    )
    return replace(part, runs=tuple(runs))


def verdict_of(run: ForeignRun) -> Verdict:
    """Judge a run by its events, then by the record of its tool."""
    # The tool records every exit code but 0 as dead; Codex exits 1 after an abort.
    stated = run.stated if run.facts.ended is None else None
    is_dead = stated is Outcome.FAILED
    code = 1 if is_dead or run.was_aborted else run.exit_code
    words = run.last_words or (_ERRORS[Outcome.FAILED] if is_dead else None)
    found = judge(
        Evidence(
            exit=Exit(process_exit_code=code),
            ending=Ending(run.facts.ended or Ending.NONE),
            failure=run.facts.failure,
            error_class=run.error_class,
            was_aborted=run.was_aborted,
            last_words=words,
            announced=run.facts.session_id,
            asked_for=run.asked_for,
        )
    )
    if stated is not None and not is_dead:
        error = words or _ERRORS[stated] if stated in _ERRORS else None
        found = verdict(stated, error, run.exit_code or None)
    if found.outcome is Outcome.LOST:
        words = run.facts.failure or words
        said = f"; its last output: {words}" if words else ""
        found = replace(found, error=f"{_ERRORS[Outcome.LOST]}{said}")
    return replace(found, process_exit_code=run.exit_code)


class Maker:
    """Convert the runs of one part, each with its own usage."""

    def __init__(self, part: History, rollouts: Rollouts, settings: Config) -> None:
        self._part, self._rollouts, self._settings = part, rollouts, settings
        self._is_dated = all(run.is_dated for run in part.runs)
        # Usage of the thread before the run: by its parts, and as a total from logs.
        self._parts: Usage | None = None
        self._total: Usage | None = None

    def make(self, wanted: set[int]) -> dict[str, Run]:
        """Write the files of the wanted runs, and return the runs by identity.

        Args:
            wanted: their indexes; the others are counted only, for those after them.

        Raises:
            OSError: the source cannot be read any more.
            FileFault: a file cannot be written.
        """
        made = {}
        for place, run_id in enumerate(ids_of(self._part)):
            run, spec = self._part.runs[place], self._spec(place, run_id)
            counted = self._count(place, spec)
            if place not in wanted:
                continue
            if run.events is not None:  # an error then names the source
                sources.opened(run.events[0]).close()
            paths = files_of(spec)
            # A killed import may have left these files.
            files.make_directory(paths.directory)
            files.export(paths.prompt, (run.prompt or "").encode(errors="replace"))
            stderr = "".join(f"{line}\n" for line in run.stderr)
            files.export(paths.stderr, stderr.encode(errors="replace"))
            files.export(paths.log, b"")
            files.export(paths.events, event_lines(run))
            made[identity_of(self._part, run)] = self._run(run, spec, counted)
        return made

    def _spec(self, place: int, run_id: RunId) -> Spec:
        part, run = self._part, self._part.runs[place]
        is_resumed = part.kind == _BASH and run.asked_for is not None
        is_new = place == 0 and not is_resumed
        thread, began = part.session_id, run.started_at
        return Spec(
            run_id=run_id,
            mode=Mode.NEW if is_new else Mode.RESUME,
            repo=part.working_dir or "",
            task=preview((run.prompt or "").encode(errors="replace")),
            resume_session=SessionId(thread) if thread and not is_new else None,
            directory=str(own_directory(self._settings.state_home, run_id)),
            is_flat=False,
            cwd=part.working_dir or "",
            umask=self._settings.umask,
            codex=CodexOptions(bin="codex"),
            # A session is at most as old as its first run.
            prepared_at=began if place else min(began, part.created_at),
            codex_home=part.codex_home,
        )

    def _count(self, place: int, spec: Spec) -> RunAccounting:
        part, run, is_new = self._part, self._part.runs[place], spec.mode is Mode.NEW
        facts, later = run.facts, part.runs[place + 1 :]
        if verdict_of(run).outcome is Outcome.NOT_STARTED:
            return unknown("Codex was not started", facts)
        until = min((each.started_at for each in later), default=None)
        if until is None and part.kind != "rollout":
            until = run.ended_at + AFTERMATH
        is_exact = self._is_dated or (is_new and len(part.runs) == 1)
        before = self._total if facts.usage is None else self._parts
        since = run.started_at
        context = LogContext(
            session_id=part.session_id if is_exact else None,
            share=Slice(offset=0 if is_new else None, since=since, until=until),
            previous=Usage() if is_new else before,
            codex_version=run.codex_version,
            model=run.model,
        )
        counted = account_log(facts, context, self._settings, self._rollouts)
        self._parts, total = facts.usage, facts.total_tokens
        self._total = None if total is None else Usage(total_tokens=total)
        return counted

    def _run(self, run: ForeignRun, spec: Spec, counted: RunAccounting) -> Run:
        part, judged = self._part, verdict_of(run)
        accounts = {
            **counted.to_json(),
            "model": counted.model or run.model,
            "warnings": dict(counted.warnings),
            "left_running": [],
            rebuild.IMPORTED: {
                "kind": part.kind,
                "source": str(part.source),
                "run": run.source_run_id,
                "identity": identity_of(part, run),
            },
        }
        is_launched = judged.outcome is not Outcome.NOT_STARTED
        told = counted.codex_version if spec.mode is Mode.NEW else None
        return Run(
            spec=spec,
            state=Finished(
                verdict=judged,
                started_at=run.started_at if is_launched else None,
                ended_at=max(run.started_at, run.ended_at),
                accounts=accounts,
            ),
            thread=SessionId(part.session_id) if part.session_id else None,
            has_begun=counted.facts.has_begun or judged.outcome is Outcome.SUCCEEDED,
            codex_version=run.codex_version or told,
        )


def look_up(part: History, ledger: Ledger) -> Known | None:
    """Find the session of a part in the ledger, by its thread or its only run."""
    identity = identity_of(part, part.runs[0])
    told = {"thread": part.session_id, "identity": identity}
    key = ledger.value("session_of_source", **told)
    if key is None:
        return None
    rows = ledger.all("imports_of_session", session=key)
    source = (part.kind, clean(str(part.source)))
    mine = [row for row in rows if (row["kind"], row["source"]) == source]
    theirs = {row["run_id"] for row in rows if row["kind"] != rebuild.KIND}
    runs = ledger.runs.of_session(key)
    own = [run for run in runs if run.run_id not in theirs]
    # The importer of version 0.1 stored no time: its runs are not replaced.
    times = [row["mtime"] for row in mine if row["mtime"] is not None]
    is_idle = all(run.is_finished for run in runs)
    return Known(
        key=key,
        runs=tuple(run.run_id for run in runs),
        identities=_turns_of(own, part).union(row["identity"] for row in rows),
        given=tuple(row["run_id"] for row in mine),
        is_newer=is_idle and bool(times) and part.written_at > max(times),
        is_mixed=len(runs) > len(mine),
    )


def _turns_of(own: Sequence[Run], part: History) -> frozenset[str]:
    """Return the identities of the turns of a rollout that are runs of this suite.

    Codex appends to a rollout: a run's turn is the first one after the offset from
    before the run. If the offset is unknown, every turn counts.
    """
    found: set[str] = set()
    for run in own if part.kind == "rollout" else ():
        begin = 0 if run.spec.mode is Mode.NEW else run.rollout_offset
        if begin is None:
            return frozenset(identity_of(part, turn) for turn in part.runs)
        turns = [turn for turn in part.runs if (turn.place or 0) >= begin]
        if run.has_begun:
            found.update(identity_of(part, turn) for turn in turns[:1])
    return frozenset(found)


def insert(
    part: History, known: Known | None, made: Mapping[str, Run], ledger: Ledger
) -> int:
    """Insert runs with their usage, inside a transaction; return their session's key.

    Earlier runs of the source are deleted first, unless the session has other runs.
    """
    key = known.key if known else _open_session(part, made, ledger)
    is_mixed = known is not None and known.is_mixed
    if known is not None and not is_mixed:
        ledger.change("set_imported", session=key, imported=None)
        for run_id in known.runs:
            ledger.usage.remove(run_id)
        ledger.change("drop_runs", session=key)
    imported, source = None, clean(str(part.source))
    for identity, run in made.items():
        told = {"source": source, "identity": identity, "run_id": run.run_id}
        at = part.written_at
        imported = ledger.insert("insert_import", kind=part.kind, mtime=at, **told)
        ledger.runs.insert(replace(run, session=key))
        ledger.usage.record_run(run)
    if is_mixed:
        ledger.change("sort_runs", session=key)
    else:
        ledger.change("set_imported", session=key, imported=imported)
    return key


def _open_session(part: History, made: Mapping[str, Run], ledger: Ledger) -> int:
    first = next(iter(made.values())).spec
    key = ledger.sessions.open(
        iso(first.prepared_at),
        seed=first.run_id,
        thread=part.session_id,
        title=part.title,
        repo=part.working_dir,
        home=part.codex_home,
    )
    if part.archived_at is not None:
        at = iso(part.archived_at)
        values = {"session": key, "exports": None, "at": at, "archived_at": at}
        ledger.change("archive_session", **values)
    ledger.change("touch_session", session=key, at=iso(part.updated_at))
    return key
