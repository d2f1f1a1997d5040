"""Convert runs of other tools to finished runs, and insert them.

No foreign record decides what is run here, where, or how: the options of an imported
run are empty. The id of a run is computed from its source, the same at every import.
"""

from __future__ import annotations

from hashlib import sha256

from parsers.accounting.tokens import Usage
from parsers.light import timedelta
from parsers.struct import Struct, replace
from parsers.text import clean, uuid
from runner import config, files
from runner.accounting.rollouts import RunRollouts, Slice, read_turns
from runner.accounting.run import LogContext, account_log, unknown
from runner.clock import iso
from runner.foreign import sources
from runner.foreign.eventlines import event_lines
from runner.ledger.record import TRANSCRIPT
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
_BASH, _AGENT = "run_codex_task.sh", "codex-agent"
_ERRORS = {
    Outcome.STOPPED: "it was stopped before its turn ended",
    Outcome.TIMED_OUT: "the run exceeded its time limit",
    Outcome.FAILED: "the older tool recorded that it died, without a reason",
    Outcome.LOST: "its turn has no recorded end",
}


class Known(Struct):
    """A session as the ledger has it.

    `turns` are those of its runs, with the identities of runs whose turn is unknown;
    `identities` are those of all imported runs, `given` the runs from the present
    source. `is_newer` is true when that source may have other runs and all runs of the
    session are finished, `is_mixed` when the session has runs that it did not give.
    """

    key: int
    runs: tuple[str, ...]
    turns: frozenset[str]
    identities: frozenset[str]
    given: tuple[str, ...]
    is_newer: bool
    is_mixed: bool

    def has(self, part: History, run: ForeignRun) -> bool:
        """Return whether the ledger has a run of a part."""
        identity = identity_of(part, run)
        if run.turn is None:
            return identity in self.identities
        return run.turn in self.turns or identity in self.turns


def parts_of(history: History) -> list[History]:
    """Split runs without a thread: each is a session of its own."""
    thread_id = uuid(history.session_id)
    parts = [history.runs] if thread_id else [(run,) for run in history.runs]
    return [replace(history, session_id=thread_id, runs=runs) for runs in parts]


def ids_of(part: History) -> list[RunId]:
    """Compute the ids of the runs of a part: in order, the same at every import."""
    found, at = list[RunId](), part.runs[0].started_at - _TICK
    for run in part.runs:
        at = max(run.started_at, at + _TICK)
        identity = identity_of(part, run).encode(errors="replace")
        own = run.source_run_id if part.kind == _AGENT else None  # the short id
        end = own or sha256(identity).hexdigest()[:8]
        found.append(RunId(f"{at:%Y%m%d-%H%M%S-%f}-{end}"))
    return found


def identity_of(part: History, run: ForeignRun) -> str:
    """Return the identity of a run, the same at every import."""
    if part.session_id is not None:
        return f"{part.session_id} {run.number}"
    name = run.source_run_id or part.source.name
    return f"{part.kind} {name} {run.number}"


def matched(part: History, rollout: History | None) -> History:
    """Find the turn of each run, and replace guessed times by those of the turns.

    Turns and runs are matched by their prompts, in order; the other turns of the thread
    were begun by hand. A missing prompt matches if there are as many turns as runs.
    When a run has no turn, the others are uncertain too, and nothing is matched.
    """
    runs: list[ForeignRun] = []
    rest = list(rollout.runs if rollout else ())
    is_whole = len(rest) == len(part.runs)
    for run in part.runs:
        if run.facts.kind == "events" and not run.facts.has_begun:
            runs.append(replace(run, number=-1 - run.number))  # it has no turn
            continue
        asked = _words(run.prompt)
        turn = rest.pop(0) if rest else None
        while turn and asked != (heard := _words(turn.prompt)):
            if is_whole and not (asked and heard):
                break
            turn = rest.pop(0) if rest else None
        if turn is None:
            return part
        at = run if run.is_dated else turn
        run = replace(  # noqa: PLW2901 - the same run
            run,
            number=turn.number,
            place=turn.place,
            turn_id=turn.turn_id,
            started_at=at.started_at,
            ended_at=at.ended_at,
            is_dated=True,
        )
        runs.append(run)
    return replace(part, parts=rollout.parts if rollout else (), runs=tuple(runs))


def _words(prompt: str | None) -> str:
    return " ".join((prompt or "").split())


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
        self._part, self._rollouts = part, rollouts
        self.ids, self._verdicts = ids_of(part), [*map(verdict_of, part.runs)]
        self._settings = config.at_codex_home(settings, str(rollouts.home))
        # Usage of the thread before the run: by its parts, and as a total from logs.
        self._parts: Usage | None = None
        self._total: Usage | None = None
        self._turns = self._read_turns()

    def make(self, wanted: set[int]) -> dict[str, Run]:
        """Write the files of the wanted runs, and return the runs by identity.

        Args:
            wanted: their indexes; the others are counted only, for those after them.

        Raises:
            OSError: the source cannot be read any more.
            FileFault: a file cannot be written.
        """
        made = {}
        for place, run_id in enumerate(self.ids):
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
            if run.rollout is None:  # else they stay there
                stderr = "".join(f"{line}\n" for line in run.stderr)
                files.export(paths.stderr, stderr.encode(errors="replace"))
                files.export(paths.events, event_lines(run))
            made[identity_of(self._part, run)] = self._run(place, spec, counted)
        return made

    def _read_turns(self) -> dict[int | None, RunRollouts]:
        """Read the rollouts of all turns of the thread, by the places of the turns."""
        part = self._part
        named = {run.place: run.facts.agent_threads for run in part.runs}
        agents = [named.get(place, ()) for place, _ in part.parts]
        turns = [turn for _, turn in part.parts]
        found = read_turns(self._rollouts, part.session_id or "", turns, agents)
        return {place: each for (place, _), each in zip(part.parts, found, strict=True)}

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
        facts = run.facts
        if self._verdicts[place].outcome is Outcome.NOT_STARTED:
            return unknown("Codex was not started", facts)
        before = self._total if facts.usage is None else self._parts
        context = LogContext(
            session_id=part.session_id,
            share=Slice(since=run.started_at),
            previous=Usage() if is_new else before,
            codex_version=run.codex_version,
            model=run.model,
        )
        own = self._turns.get(run.place, RunRollouts())
        counted = account_log(facts, context, self._settings, own)
        self._parts, total = facts.usage, facts.uncached_tokens
        self._total = None if total is None else Usage(total_tokens=total)
        return counted

    def _run(self, place: int, spec: Spec, counted: RunAccounting) -> Run:
        part, run, judged = self._part, self._part.runs[place], self._verdicts[place]
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
        if run.transcript:
            accounts[TRANSCRIPT] = run.transcript
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
    key = ledger.value("session_of_source", thread=part.session_id, identity=identity)
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
    is_newer = bool(times) and part.written_at > max(times)
    if not mine and part.kind == "rollout":
        # It adds turns only when it is certain which turn each other run is.
        is_newer = all(row["cursor"] for row in rows if row["run_id"] in theirs)
    is_idle = all(run.is_finished for run in runs)
    names = (row["cursor"] or row["identity"] for row in rows)
    return Known(
        key=key,
        runs=tuple(run.run_id for run in runs),
        turns=_turns_of(own, part).union(names),
        identities=frozenset(row["identity"] for row in rows),
        given=tuple(row["run_id"] for row in mine),
        is_newer=is_idle and is_newer,
        is_mixed=len(runs) > len(mine),
    )


def _turns_of(own: Sequence[Run], part: History) -> frozenset[str]:
    """Return the turns of a rollout that are runs of this suite.

    Codex appends to a rollout: a run's turn is the first one after the offset from
    before the run. If the offset is unknown, every turn counts.
    """
    found: set[str] = set()
    for run in own if part.kind in {"rollout", _AGENT} else ():
        begin = 0 if run.spec.mode is Mode.NEW else run.rollout_offset
        if begin is None:
            return frozenset(turn.turn for turn in part.runs if turn.turn)
        turns = [turn.turn for turn in part.runs if (turn.place or 0) >= begin]
        if run.has_begun:
            found.update(turn for turn in turns[:1] if turn)
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
    turns = {identity_of(part, run): run.turn for run in part.runs}
    for identity, run in made.items():
        imported = ledger.insert(
            "insert_import",
            kind=part.kind,
            source=source,
            identity=identity,
            mtime=part.written_at,
            cursor=turns[identity],
            run_id=run.run_id,
        )
        ledger.runs.insert(replace(run, session=key))
        if run.is_finished:
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
