"""The report on a session, and waiting until sessions are idle."""

from __future__ import annotations

from parsers import loose_json
from parsers.error_classes import retryable
from parsers.paths import Path
from parsers.run_summary import doubts
from parsers.struct import as_dict, replace
from runner import clock
from runner.codex.binary import NO_ROLLOUT, has_lost
from runner.codex.home import writer_of
from runner.errors import RunnerError, WaitTimeoutError
from runner.exports.task_files import answer_of, files_in
from runner.ledger import record
from runner.ledger.environments import Senders
from runner.lifecycle.check import is_checked
from runner.lifecycle.liveness import codex_of, left_by, place_of, suspension_of
from runner.lifecycle.recover import sweep
from runner.model import Outcome, Running, TaskState
from runner.process.table import is_alive
from runner.run_files import files_of
from runner.service import spent, usage
from runner.service.listing import doing_in, local_time, report_of
from runner.service.lookup import get
from runner.service.shown import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.prompts import Prompt
    from runner.ledger.sessions import Session
    from runner.model import Run
    from runner.service.lookup import Found, Task
    from runner.tail import Doing

Json = dict[str, object]

# What is null in the report on a session that has not run yet.
_UNTOLD = (
    *("outcome", "error", "error_class", "retryable", "pid", "note", "last_run"),
    *("directory", "unknown", "other_writer", "changes", "verify", "budget"),
    "files_changed",
    *("last_prompt", "last_result", "final_message", "previous_result"),
)
_PACE_SECONDS = 0.05
# The ledger's version shows changes; a killed supervisor makes none, so sweep too.
_SWEEP_SECONDS = 1.0
# Why prompts wait for other runs, which end.
_SOON = ("slot", "rate")


def report(task: Task, ledger: Ledger, settings: Config, unknown: str | None) -> Json:
    """Report what is known of a session.

    `last_result` is the answer of the last run, null while it runs and when it has
    none; then `previous_result` is the answer before. Prompts are previews.
    """
    session, last = task.session, task.last
    # The run whose settings the next one takes over.
    launched = ledger.runs.latest(session.key, "launched")
    pattern = last if last.launched_at else launched or last
    verdict, exports = last.verdict, session.exports_in(settings.state_home)
    pid = _pid_of_codex(last)
    is_running = isinstance(last.state, Running)
    now = doing_in(files_of(last.spec), settings) if is_running else None
    rows = [] if last.is_finished else spent.so_far(last, ledger, settings)
    living = spent.totals_of(last, rows)
    sums = usage.sums_json([*ledger.usage.of_session(task.name), *living])
    why = spent.why_unknown(sums["cost"], rows, last, ledger)
    cost = sums["cost"] | ({"reason": why} if why else {})
    return {
        "id": session.name,
        **_names(session, record.place_of(pattern) or None),
        **report_of(session, now, ledger, last.spec.limits.stall),
        "outcome": last.outcome,
        "error": verdict.error if verdict else None,
        "error_class": verdict.error_class if verdict else None,
        "retryable": retryable(verdict.error_class) if verdict else None,
        "warnings": last.accounts.get("warnings") or {},
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "directory": str(exports) if exports else None,
        "changes": last.accounts.get(record.CHANGES),
        "files_changed": record.files_changed(last),
        "model": spent.model_of(last, launched, settings),
        "sandbox": pattern.spec.codex.sandbox,
        "pid": pid,
        "verifying": is_checked(last),
        "verify": last.accounts.get(record.VERIFY),
        "note": _note(last, pid, now) or _why_lost(session, last, settings),
        "last_run": last.run_id,
        "runs": len(ledger.runs.ids(session.key)),
        **_queue(told(task.prompts, session, ledger, settings)),
        "unknown": unknown,
        "other_writer": _other_writer(session, ledger, settings),
        "left_running": [
            {"pid": process.pid, "name": name, "run": run.run_id}
            for run in ledger.runs.leaving(session.key)
            for process, name in left_by(run).items()
        ],
        "skipped": ledger.queue.canceled(session.key),
        "undelivered": ledger.queue.undelivered(session.key, last.ordinal),
        "notifications": ledger.outbox.of_session(session.key),
        "last_prompt": last.spec.task,
        **(answers := _answers(task, ledger)),
        "final_message": answers["last_result"],
        **sums,
        "cost": cost,
        "budget": spent.budget_of(last, living, ledger),
    }


def unstarted(session: Session, ledger: Ledger, settings: Config) -> Json:
    """Report a session that has not run yet, with the keys of `report`."""
    kept, prompts = session.settings, ledger.queue.waiting(session.key)
    return {
        **dict.fromkeys(_UNTOLD),
        "id": session.name,
        **_names(session, session.repo),
        "verifying": False,
        **report_of(session, None, ledger),
        "warnings": {},
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "model": kept.codex.model if kept else None,
        "sandbox": kept.codex.sandbox if kept else None,
        "runs": 0,
        **_queue(told(prompts, session, ledger, settings)),
        "left_running": [],
        "skipped": ledger.queue.canceled(session.key),
        "undelivered": ledger.queue.undelivered(session.key),
        "notifications": ledger.outbox.of_session(session.key),
        **usage.sums_json([]),
    }


def _names(session: Session, repo: str | None) -> Json:
    """Name a session and its directory; `working_dir` is what older tools call it."""
    return {
        "short_id": session.short_id,
        "session_id": session.thread,
        "title": session.title,
        "state": session.state,
        "repo": repo,
        "working_dir": repo,
    }


def told(
    prompts: Sequence[Prompt], session: Session, ledger: Ledger, settings: Config
) -> list[Prompt]:
    """Return waiting prompts; one that this process passes over waits for `secret`."""
    senders, name = Senders(ledger, settings), session.name
    return [replace(p, **senders.explain(as_dict(p), name)) for p in prompts]


def _queue(prompts: Sequence[Prompt]) -> Json:
    """Report the waiting prompts of a session."""
    return {
        "queue": len(prompts),
        "queue_held": _why_held(next(iter(prompts), None)),
        "prompts": [
            {
                "id": prompt.id,
                "prompt": prompt.preview,
                "why": prompt.word,
                "until": prompt.until,
                "detail": prompt.detail,
            }
            for prompt in prompts
        ],
    }


def wait(  # noqa: PLR0913 - what to wait for, how long, and who is told what
    tasks: Sequence[Found],
    ledger: Ledger,
    settings: Config,
    warn: Callable[[Iterable[str]], None],
    *,
    for_any: bool = False,
    timeout: float | None = None,
    watch: Callable[[Sequence[Found]], None] = lambda _: None,
) -> Iterator[tuple[Found, bool]]:
    """Wait until sessions no longer run; yield each as it ends, and if it succeeded.

    The result is read as soon as a session is idle: another command may resume it
    while this one waits for others. An error in one session does not stop the wait.

    Args:
        tasks: the sessions. The result of each counts from its oldest unfinished run,
            else from its last run.
        ledger: the ledger.
        settings: for judging abandoned runs.
        warn: is called, again and again, with why sessions still run that only time or
            a person can release, and with a verdict that cannot be recorded. A session
            of the latter has failed.
        for_any: end as soon as a session is idle.
        timeout: the time limit in seconds; None is without limit.
        watch: is called with those that still run, once a second or more often.

    Raises:
        WaitTimeoutError: the time is up.
    """
    left = {each: _first_ordinal(each) for each in tasks}
    began = looked = clock.monotonic()
    version, has_ended = -1, False
    while True:
        written, now = ledger.version(), clock.monotonic()
        if written != version or now - looked >= _SWEEP_SECONDS:
            version, looked = written, now
            unrecorded = sweep(ledger, settings).unrecorded
            for each, since in [*left.items()]:
                key = each.session.key
                end = _end_of(each, since, settings)
                if each.older is None and key in unrecorded:
                    end = False
                    warn([f"{ledger.sessions.get(key).name}: {unrecorded[key]}"])
                if end is None:
                    warn(_why_running(each, settings))
                    continue
                del left[each]
                has_ended = True
                yield each, end
            if not left or (for_any and has_ended):
                return
            watch([*left])
        if timeout is not None and now - began >= timeout:
            raise _too_long([*left], timeout)
        clock.sleep(_PACE_SECONDS)


def _too_long(left: Sequence[Found], timeout: float) -> WaitTimeoutError:
    """Name the sessions that have not ended, by what they are shown as."""
    by_state: dict[str, list[str]] = {}
    for each in left:
        by_state.setdefault(_state_of(each), []).append(each.session.short_id)
    still = "; ".join(f"still {s}: {', '.join(ids)}" for s, ids in by_state.items())
    fix = f"codex-tasks status {' '.join(each.session.short_id for each in left)}"
    return WaitTimeoutError(f"after {timeout:g} s {still}", fix)


def _state_of(found: Found) -> str:
    return shown(found.ledger.sessions.line(found.session.key)).state


def _first_ordinal(task: Found) -> int:
    """Return the ordinal of the first run of a session that counts for a wait."""
    session, runs = task.session, task.ledger.runs
    first = next(iter(runs.unfinished(session.key)), None)
    if first is None and session.last_run is not None:
        first = runs.find(session.last_run)
    return 0 if first is None else first.ordinal


def _end_of(found: Found, since: int, settings: Config) -> bool | None:
    """Return whether an idle session has succeeded; None while it runs.

    All awaited prompts must have succeeded: of several runs for one prompt the last
    counts. A run that gave up waiting for the session does not count.
    """
    try:
        now = found.again()
        key, ledger = now.session.key, now.ledger
        with ledger.snapshot():
            if ledger.sessions.get(key).state is TaskState.RUNNING:
                return None
            task = get(key, ledger)
    except RunnerError:
        return False
    runs = ledger.runs.ends(key, since)
    is_good = {*runs.values()} == {Outcome.SUCCEEDED} and not task.prompts
    is_good = is_good and not ledger.queue.undelivered(key, since)
    if not (is_good and settings.is_strict):
        return is_good
    ended = (ledger.runs.find(run_id) for run_id in runs)
    return not any(doubts(run.accounts.get("warnings")) for run in ended)


def _why_running(found: Found, settings: Config) -> Iterator[str]:
    """Yield why a session that only time or a person can release still runs."""
    key, ledger = found.session.key, found.ledger
    session, name = ledger.sessions.get(key), found.session.short_id
    head = ledger.queue.head(key)
    prompt = next(iter(told([head] if head else [], session, ledger, settings)), None)
    if found.doubt is not None:
        yield f"{name}: {found.doubt}"
    for run in ledger.runs.unfinished(key):
        if why := suspension_of(run):
            yield f"{name}: {why}"
    if prompt is None or prompt.word in _SOON:
        return
    if (why := _why_held(prompt)) is not None:
        end = f" until {local_time(prompt.until)}" if prompt.until else ""
        yield f"{name} is {_state_of(found)}{end}: {why}"


def _pid_of_codex(run: Run) -> int | None:
    """Return the pid of the Codex of a run, as it is here; None when it has ended."""
    if not isinstance(run.state, Running) or not place_of(run).is_here:
        return None
    codex = run.state.codex
    # If it is gone, only its launcher may have ended.
    found = codex if is_alive(codex) else codex_of(run)
    return found.pid if found else None


def _note(run: Run, pid: int | None, now: Doing | None) -> str | None:
    """Say why there is no pid, that nothing supervises Codex, or that it reconnects."""
    if isinstance(run.state, Running) and not (place := place_of(run)).is_here:
        where = "another PID namespace, such as a container"
        return None if place.reason else f"its processes are in {where}"
    if is_checked(run):
        return suspension_of(run)
    ended = "Codex has ended; " if isinstance(run.state, Running) and not pid else ""
    if why := suspension_of(run):
        return f"{ended}{why}"
    if ended:
        return f"{ended}this is not recorded yet"
    is_lost = pid and now is not None and now.word == "reconnecting"
    return f"Codex has no connection: {now.text}" if now and is_lost else None


def _why_lost(session: Session, run: Run, settings: Config) -> str | None:
    """Return why a session of ours cannot be resumed; None when it may be."""
    usage = loose_json.mapping(run.accounts.get("token_usage"))
    is_saved = usage.get("source") == "rollout" or session.is_imported
    if is_saved or session.thread is None or not run.is_finished:
        return None
    home = Path(session.home or settings.codex_home)
    if has_lost(session.thread, home, run.spec.codex.bin, settings):
        return f"it cannot be resumed: {NO_ROLLOUT.format(home)}"
    return None


def _why_held(prompt: Prompt | None) -> str | None:
    """Return why the first prompt is not delivered; None when it will be."""
    if prompt is None or prompt.word in {None, "session"}:
        return None
    return prompt.detail or prompt.word


def _other_writer(session: Session, ledger: Ledger, settings: Config) -> Json | None:
    """Name the process of another program that writes the thread."""
    if session.thread is None or ledger.queue.holder(session.key) is not None:
        return None
    home = Path(session.home) if session.home else settings.codex_home
    pid = writer_of(home, session.thread)
    return None if pid is None else {"pid": pid or None}


def _answers(task: Task, ledger: Ledger) -> Json:
    over, paths = task.over, files_in(task.session, ledger.home)
    if over is not None and over.has_answer and task.last.is_finished:
        return {"last_result": answer_of(over, paths), "previous_result": None}
    answered, previous = ledger.runs.latest(task.session.key, "answered"), None
    if answered is not None:
        previous = {"run": answered.run_id, "text": answer_of(answered, paths)}
    return {"last_result": None, "previous_result": previous}
