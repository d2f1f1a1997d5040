"""Summarise a run from the ledger or from its files."""

from __future__ import annotations

import stat

from parsers import loose_json, run_summary
from parsers.accounting.tokens import Usage
from parsers.any_log import read_log
from parsers.light import suppress
from parsers.paths import Path
from parsers.rollouts.read import read_rollout
from parsers.struct import Struct, replace
from parsers.text import uuid
from runner import clock, files
from runner.accounting.own_turns import rollouts_of_log
from runner.accounting.rollouts import RolloutAt, Rollouts, RunRollouts, Slice
from runner.accounting.run import LogContext, account_log, account_run
from runner.errors import (
    NoSuchTaskError,
    RunnerError,
    RunnerFault,
    UnknownRunError,
    UsageError,
)
from runner.exports import run_exports
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.lifecycle.judge import Ending, Evidence, Exit, judge, verdict
from runner.lifecycle.liveness import Life, life_of
from runner.locks import Lock, look
from runner.model import Outcome, RunId
from runner.run_files import RunFiles, beside, files_of
from runner.service.lookup import find_run
from runner.service.search import find_any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from parsers.facts import Facts
    from parsers.light import datetime
    from runner.accounting.run import RunAccounting
    from runner.config import Config
    from runner.model import Run, Verdict

Json = dict[str, object]

_THREAD_TOTAL = "thread total; earlier runs of the session may be included"
_OTHER_CODE = "the turn was completed, but the recorded exit code is"
_UNFINISHED = ("waiting", "prepared", "launching", "running")
# The names of values in the blocks of a log, of this suite and the bash runner.
_BLOCK_NAMES = {
    "codex_run_id": "run_id",
    "codex_session_id": "session_id",
    "codex_exit_code": "exit_code",
    "elapsed_seconds": "elapsed_seconds",
    "outcome": "outcome",
    "meta_file": "meta_file",
    "started_at_utc": "started_at",
    "ended_at_utc": "ended_at",
    "model_selected": "model",
}


def summarize_run(run_id: str, log_dir: Path, settings: Config) -> Json:
    """Return the summary of a run, or of a task's last run; for a living one, so far.

    Raises:
        UnknownRunError: neither the ledger nor the log directory knows it.
        UsageError: it names several tasks.
        RunnerFault: its record cannot be read.
    """
    ledger = Ledger(settings.state_home)
    try:
        run = find_run(run_id, log_dir, ledger, settings)
    except UnknownRunError:
        theirs = RunFiles(log_dir, RunId(run_id), is_flat=True)
        if files.is_regular(theirs.meta):
            # A run of another state directory, unfinished or abandoned.
            return summarize_log(theirs.events, theirs.meta, settings)
        with suppress(NoSuchTaskError):
            found = find_any(run_id, ledger, settings)
            if found.session.last_run is not None:
                run = found.ledger.runs.find(found.session.last_run)
                return _summary(run, found.ledger, settings)
        raise
    return _summary(run, ledger, settings)


def _summary(run: Run, ledger: Ledger, settings: Config) -> Json:
    if run.is_finished:
        return run_exports.summary_of(run)
    counted = account_run(run, ledger, settings, is_over=False)
    data = {**record.to_json(run), "model": counted.model}
    data |= _pointers(data, counted.facts)
    return run_summary.build(counted.facts, data, None, counted.usage, counted.cost)


def summarize_log(
    log: Path, meta_path: Path | None, settings: Config, model: str | None = None
) -> Json:
    """Return the summary of a log, with its meta file where there is one.

    The usage and cost in a finished run's meta file are frozen. Otherwise both are
    computed, from the thread's rollout where there is one. `model` is the model of a
    log that names none.

    Raises:
        UsageError: the log, or a meta file that was named, cannot be read.
        RunnerFault: the log is not of a run.
    """
    return _summarize(_read(log, meta_path, settings), Usage(), settings, model)


def summarize_logs(
    logs: Sequence[Path], settings: Config, model: str | None
) -> Iterator[Json | RunnerError]:
    """Yield the summary of each log, or why there is none.

    Of several streams of one thread each begins where the one before it ends.
    """
    found = [_read_or_error(log, settings) for log in logs]
    every = [each.facts for each in found if isinstance(each, _Log)]
    for each in found:
        if isinstance(each, _Log):
            before = _usage_before(each.facts, every)
            yield _summarize(each, before, settings, model)
        else:
            yield each


def _usage_before(own: Facts, others: Iterable[Facts]) -> Usage:
    """Return the thread's usage at the end of the stream before this one."""
    found = Usage()
    for other in others:
        used = other.usage or found
        more = (own.usage or used) - used
        is_before = more.total_tokens > 0 and not more.is_negative
        is_of_thread = other.session_id == own.session_id and not other.is_share
        if is_before and is_of_thread and used.total_tokens > found.total_tokens:
            found = used
    return found


class _Log(Struct):
    """A log, its facts, its meta file's contents, and what is wrong with that."""

    path: Path
    facts: Facts
    meta: Json
    faults: tuple[str, ...] = ()


def _read_or_error(log: Path, settings: Config) -> _Log | RunnerError:
    try:
        return _read(log, None, settings)
    except RunnerError as error:
        return error


def _read(log: Path, meta_path: Path | None, settings: Config) -> _Log:
    meta, faults = _meta(log, meta_path, settings)
    facts = _facts(log, meta)
    if facts.kind == "rollout" and (thread := facts.session_id) is not None:
        index = RolloutAt(settings.codex_home, thread, log)
        facts = _rollout_facts(facts, index.paths_of(thread))
    refusal = facts.refusal
    if refusal is not None and not meta:
        message = f"{refusal} in {log}"
        raise RunnerFault(message)
    if refusal is not None and facts.kind != "empty" and not facts.warnings:
        faults.append(refusal)
    return _Log(path=log, facts=facts, meta=meta, faults=tuple(faults))


def _summarize(found: _Log, before: Usage, settings: Config, model: str | None) -> Json:
    """Summarise a log; `before` is the earlier usage of its thread, if it is known."""
    log, facts, meta = found.path, found.facts, found.meta
    block = {name: facts.fields.get(key) for key, name in _BLOCK_NAMES.items()}
    told = {name: value for name, value in block.items() if value is not None} | meta
    is_alive = _may_go_on(told, settings)
    is_over = not is_alive and bool(told.keys() & {"state", "exit_code"})
    context = replace(_context(facts, told, before, model), is_over=is_over)
    kept = account_log(facts, context, settings, _rollouts(found, context, settings))
    frozen = replace(
        kept,
        usage=_frozen(meta, "token_usage", "total_tokens") or kept.usage,
        cost=_frozen(meta, "cost", "usd") or kept.cost,
        faults=(*kept.faults, *found.faults),
    )
    told |= {"outcome": None} if is_alive else _judged(frozen, told)
    outcome, code = _text(told, "outcome"), loose_json.integer(told.get("exit_code"))
    if outcome == Outcome.SUCCEEDED and code:
        frozen = replace(frozen, faults=(*frozen.faults, f"{_OTHER_CODE} {code}"))
    told = {"log_file": str(log.absolute()), "model": kept.model, **told}
    told |= _pointers(told, facts)
    whole = run_summary.build(facts, told, outcome, frozen.usage, frozen.cost)
    return {**whole, "warnings": frozen.warnings}


def _frozen(meta: Json, name: str, figure: str) -> Json | None:
    """Return a block of a meta file that has its figure, or says why it has none."""
    block = loose_json.mapping(meta.get(name))
    is_known = type(block.get(figure)) in {int, float} or "reason" in block
    return dict(block) if is_known else None


def _rollouts(
    found: _Log, context: LogContext, settings: Config
) -> Rollouts | RunRollouts:
    """Return the rollouts of a log, or where to search for them."""
    home, thread = Rollouts(settings.codex_home), context.session_id
    if thread is None:
        return RunRollouts()
    if found.facts.kind == "rollout":
        return RolloutAt(settings.codex_home, thread, found.path)
    if context.share.offset is not None:
        return home
    return rollouts_of_log(found.facts, thread, context.share, home)


def _pointers(data: Json, facts: Facts) -> Json:
    is_cut = len(facts.final_message or "") > run_summary.PREVIEW_LENGTH
    return run_exports.pointers(data, is_cut=is_cut)


def _facts(log: Path, meta: Json) -> Facts:
    """Read a log, or the events beside it, which have more facts."""
    events = _text(meta, "events_file")
    if events is not None and log.name != Path(events).name:
        places = (log.parent / Path(events).name, Path(events))
        log = next((path for path in places if files.is_regular(path)), log)
    try:
        if stat.S_ISCHR(log.stat().st_mode):
            message = f"--log {log}: is a device, name a file"
            raise UsageError(message)
        with log.open("rb") as stream:
            facts = read_log(stream)
    except OSError as error:
        message = f"--log {log}: {error.strerror or error}"
        raise UsageError(message) from error
    return facts


def _rollout_facts(facts: Facts, paths: Sequence[Path]) -> Facts:
    """Add what one rollout file lacks: its thread's other files, and the actions."""
    from runner.foreign.rollouts import actions  # noqa: PLC0415 - a rare need

    with suppress(OSError):  # a pipe is not read twice
        if len(paths) > 1:
            facts = read_rollout(files.lines_of(paths)).facts()
        done = actions(paths)
        return replace(
            facts,
            commands_run=done.commands_run,
            commands_failed=done.commands_failed,
            files_changed=done.files_changed,
            ended=done.ended or facts.ended,
            failure=done.failure or facts.failure,
            errors=facts.errors or done.errors,
        )
    return facts


def _meta(log: Path, named: Path | None, settings: Config) -> tuple[Json, list[str]]:
    """Read the meta file; for an unfinished run, ask the ledger."""
    if named is not None and not named.is_file():
        what = "is a directory, name a file" if named.is_dir() else "no such file"
        message = f"--meta {named}: {what}"
        raise UsageError(message)
    own = beside(log)
    path = named or (own.meta if own is not None else None)
    if path is None or not path.is_file():
        return {}, []
    try:
        told = loose_json.load_object(files.read_bytes(path))
    except loose_json.NotAnObjectError:
        return {}, [f"meta: {path.name} holds no JSON object"]
    except OSError as error:
        if named is not None:
            message = f"--meta {named}: {error.strerror}"
            raise UsageError(message) from error
        return {}, [f"meta: {path.name}: {error.strerror}"]
    meta = dict(loose_json.mapping(loose_json.sound(told)))
    if meta.get("state") in _UNFINISHED:
        # A run of another machine: only the meta file is known.
        with suppress(RunnerError):
            ledger = Ledger(settings.state_home)
            run = find_run(str(meta.get("run_id")), log.parent, ledger, settings)
            meta = {**record.to_json(run), "meta_file": meta.get("meta_file")}
    return meta, []


def _context(facts: Facts, told: Json, before: Usage, model: str | None) -> LogContext:
    offset, session = told.get("rollout_offset"), _text(told, "session_id")
    asked = loose_json.mapping(told.get("request"))
    words = [loose_json.sequence(asked.get(name)) for name in ("extra", "overrides")]
    is_first, has_before = told.get("mode") == "new", before != Usage()
    # Without a record the thread may have had runs before.
    is_known = has_before or "resume_session" in told or facts.kind == "rollout"
    is_resumed = bool(told.get("resume_session")) and not has_before
    return LogContext(
        session_id=uuid(facts.session_id or session or ""),
        share=Slice(
            offset=offset if isinstance(offset, int) else 0 if is_first else None,
            since=_instant(told, "started_at"),
            until=_instant(told, "ended_at"),
        ),
        previous=None if is_resumed else before,
        codex_version=_text(told, "codex_version") or facts.codex_version,
        model=_text(told, "model") or model,
        given=[str(word) for some in words for word in some],
        doubt=None if is_known else _THREAD_TOTAL,
    )


def _judged(kept: RunAccounting, told: Json) -> Json:
    """Take the recorded outcome and error class, else judge."""
    named, found = _text(told, "outcome"), _verdict(kept, told)
    if named in set(Outcome) and (found is None or found.outcome != named):
        found = verdict(Outcome(named), None)
    if found is None:
        return {"outcome": None}
    error_class = _text(told, "error_class") or found.error_class
    return {"outcome": found.outcome, "error_class": error_class}


def _verdict(kept: RunAccounting, told: Json) -> Verdict | None:
    """Judge by the events, then by the exit code."""
    facts, code = kept.facts, loose_json.integer(told.get("exit_code"))
    is_ours = told.get("state") in _UNFINISHED
    if facts.ended is None and code is None and not is_ours:
        # It is unknown whether the run still goes on.
        return verdict(Outcome.INTERRUPTED, None) if kept.was_aborted else None
    if facts.kind == "log" and facts.ended is None:
        # Text logs have no terminal event: only the exit code is known.
        facts = replace(facts, ended="completed" if code == 0 else None)
    evidence = Evidence(
        exit=Exit(process_exit_code=code),
        ending=Ending(facts.ended or Ending.NONE),
        failure=facts.failure,
        error_class=kept.error_class,
        was_aborted=kept.was_aborted,
        announced=facts.session_id,
    )
    return judge(evidence)


def _may_go_on(told: Json, settings: Config) -> bool:
    """Return whether a run of another state directory may still be alive."""
    if told.get("state") not in _UNFINISHED:
        return False
    try:
        run = record.from_json(told)
    except RunnerError:
        return True
    is_gone = life_of(run, settings.state_home) is Life.NONE
    return not is_gone or look(files_of(run.spec).events) is Lock.HELD


def _instant(told: Json, name: str) -> datetime | None:
    text = _text(told, name)
    try:
        return max(clock.parse_iso(text), clock.at(0)) if text else None
    except ValueError:
        return None


def _text(told: Json, name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) and value else None
