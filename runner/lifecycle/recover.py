"""Sweep: judge the runs that no process owns any more, and deliver queued prompts.

A command that lists, shows, waits, sends or stops first sweeps once, and then answers
from one snapshot of the ledger.
"""

from __future__ import annotations

import os

from parsers.light import contextmanager, suppress
from parsers.struct import Struct, replace
from runner import clock, config, files, locks
from runner.config import RUN_MARKER
from runner.errors import (
    ConflictFault,
    LedgerFault,
    NoSuchRunError,
    RunnerError,
    RunnerFault,
    StaleStateError,
)
from runner.ledger.runs import FOREIGN_THREAD
from runner.lifecycle.liveness import (
    Life,
    life_of,
    life_without_supervisor,
    place_of,
)
from runner.locks import Lock
from runner.model import SessionId
from runner.process import cgroup
from runner.run_files import files_of, owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from parsers.paths import Path
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.judge import Exit
    from runner.model import Run


_PACE_SECONDS = 0.02
# How long to wait for another reader that judges the same run.
_PATIENCE_SECONDS = 5.0
# What figures raise that are none, and values that no column can hold.
_NONSENSE = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    ConflictFault,
)


class Sweep(Struct):
    """Hold the errors of a sweep.

    `faults` are sentences for people. `unknown` is, per session key, why the state of
    the session's run cannot be determined here; `unrecorded` is why the verdict on it
    cannot be stored.
    """

    faults: tuple[str, ...] = ()
    unknown: Mapping[int, str]
    unrecorded: Mapping[int, str]


class UnrecordedVerdictError(RunnerFault):
    """Report that the ledger cannot store the verdict on `over`, a finished run."""

    def __init__(self, over: Run, cause: LedgerFault) -> None:
        what = "the run has ended; its end cannot be recorded"
        super().__init__(f"{what}: {cause.reason}")
        self.over = over


def sweep(
    ledger: Ledger, settings: Config, *, delivers: bool = True, is_timer: bool = False
) -> Sweep:
    """Judge abandoned runs, deliver queued prompts, send overdue notifications.

    What waits for something else is left to the timer.

    An error in one session is reported and does not stop the others. A command inside a
    run never delivers: the run that it started would be killed with its own run.
    """
    closed = files.unwritable(ledger.home)
    faults = [f"{closed}: no run is judged, no prompt delivered"] if closed else []
    unknown: dict[int, str] = {}
    unrecorded: dict[int, str] = {}
    for run in ledger.runs.unfinished():
        try:
            now = _reconcile(run, ledger, settings, None)
            reason = None if now.is_finished else place_of(now).reason
            if reason is not None:
                unknown[run.session] = reason
        except NoSuchRunError:
            continue  # another process has removed its session
        except Exception as error:  # noqa: BLE001 - every command that sweeps would end
            told = isinstance(error, RunnerError | OSError)
            reason = str(error) if told else f"it cannot be judged: {error!r}"
            faults.append(f"{run.thread or run.run_id}: {reason}")
            if isinstance(error, UnrecordedVerdictError):
                unrecorded[run.session] = reason
    _complete_all_exports(ledger)
    is_inside = RUN_MARKER in settings.environment
    if delivers and not closed and not is_inside and ledger.has_waiting_prompts:
        from runner.lifecycle import queue, timer  # noqa: PLC0415 - something waits

        faults += queue.deliver_all(ledger, settings).values()
        if not is_timer:
            timer.wake(ledger, settings)
    if not closed and not is_inside:
        _start_telling(ledger, settings, is_timer=is_timer)
    return Sweep(faults=tuple(faults), unknown=unknown, unrecorded=unrecorded)


def sweep_beside(ledger: Ledger | None, settings: Config) -> int | None:
    """Sweep in another process, because a sweep can wait; return its pid.

    A subreaper must not do this: it would adopt what the sweep has started, and end
    that with its own run.
    """
    from runner.ledger.ledger import Ledger  # noqa: PLC0415 - where others have runs

    return _beside(lambda: sweep(Ledger(settings.state_home), settings), ledger)


def reconcile_run(
    run: Run, ledger: Ledger, settings: Config, ended: Exit | None = None
) -> Run:
    """Return the current state of a run; judge it when no process owns it any more.

    `ended` is the cause when the caller has ended the run in place of the supervisor,
    and holds the lock of `owner`.

    Raises:
        NoSuchRunError: another process has removed it.
        RunnerFault: its files or the ledger cannot be read.
    """
    try:
        now = _reconcile(run, ledger, settings, ended)
    except UnrecordedVerdictError as error:
        return error.over  # the caller is told the verdict all the same
    if now is not run and now.is_finished and RUN_MARKER not in settings.environment:
        _start_telling(ledger, settings)
    return now


def _reconcile(run: Run, ledger: Ledger, settings: Config, ended: Exit | None) -> Run:
    if run.is_finished:
        _complete_exports(run, ledger)
        return run
    if ended is not None:
        return _judge(run, ledger, settings, ended)
    life = life_of(run, settings.state_home)
    if life is Life.CODEX and run.thread is None:
        from runner.tail import summary_of_events  # noqa: PLC0415 - rare

        # Its supervisor was killed before it recorded the thread.
        if (thread := summary_of_events(run).thread_id) is not None:
            _name(run, SessionId(thread), ledger)
            return ledger.runs.find(run.run_id)
    if life is not Life.NONE:
        return run
    with in_charge(run, settings.state_home) as lock:
        # Since the run was read, its supervisor may have started Codex and died, or
        # another reader may have judged the run.
        now = ledger.runs.find(run.run_id)
        is_done = now.is_finished or lock is Lock.HELD
        if is_done or life_without_supervisor(now) is not Life.NONE:
            return now
        return _judge(now, ledger, settings, None)


@contextmanager
def in_charge(
    run: Run, state_home: Path, *, patience: float = _PATIENCE_SECONDS
) -> Iterator[Lock]:
    """Hold the lock of a supervisor that is gone, within a block.

    When two readers judge a run at once, the second waits for the first. While `stop`
    kills the tools of a dead Codex, no other reader can judge the run `lost` and so
    free the session.

    Yields:
        FREE when the lock was taken, HELD when another process still holds it, UNKNOWN
        when there is no lock.
    """
    path, deadline = owner_of(state_home, run.run_id), clock.monotonic() + patience
    descriptor, lock = None, Lock.UNKNOWN
    with suppress(RunnerError):
        while (descriptor := locks.take(path, must_exist=True)) is None:
            lock = Lock.HELD
            if clock.monotonic() >= deadline:
                break
            clock.sleep(_PACE_SECONDS)
        else:
            lock = Lock.FREE
    try:
        yield lock
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _complete_exports(run: Run, ledger: Ledger) -> None:
    """Write the exports of a run whose supervisor was killed before it did.

    A lock file that is gone or destroyed is no longer held by a supervisor.
    """
    with in_charge(run, ledger.home, patience=0) as lock:
        # Under the lock: its supervisor or another reader may have just written them.
        is_free = lock is not Lock.HELD
        if is_free and (run.run_id, run.session) in ledger.runs.unexported():
            from runner.exports import task_files  # noqa: PLC0415 - where one was left

            task_files.write_abandoned(run, ledger)


def _complete_all_exports(ledger: Ledger) -> None:
    """Write what is not written yet, before the next run appends to a session's log."""
    found = ledger.runs.unexported()
    for run_id, _ in found:
        if run_id is not None:
            with suppress(RunnerError):
                _complete_exports(ledger.runs.find(run_id), ledger)
    if changed := {session for run_id, session in found if run_id is None}:
        with suppress(RunnerError):
            _write_queues(changed, ledger)


def _write_queues(sessions: set[int], ledger: Ledger) -> None:
    """Write the files of the prompts of sessions, and remove those of ended ones."""
    from runner.exports import queue_files  # noqa: PLC0415 - where some changed

    prompts = {each.id for key in sessions for each in ledger.queue.waiting(key)}
    prompts.update(int(path.name) for path in queue_files.all_files(ledger.home))
    queue_files.write(ledger, prompts)
    for key in sessions:
        ledger.runs.note_exported(None, key)


def _start_telling(ledger: Ledger, settings: Config, *, is_timer: bool = False) -> None:
    """Start processes that send what is due: a hook, or a server, may be slow.

    Inside a run they would be killed with it, in the middle of a hook. Webhooks are
    left to the timer, if there may be one.
    """
    is_due, has_notices = bool(ledger.outbox.due()), ledger.outbox.has_notices
    if not (is_due or has_notices):
        return
    from runner.lifecycle import timer  # noqa: PLC0415 - see sweep
    from runner.lifecycle.handoff import supervisor  # noqa: PLC0415 - a rare need

    if is_due:
        _beside(lambda: supervisor().tell(settings), ledger)
    if not has_notices:
        return
    if not is_timer and settings.has_timer:
        timer.wake(ledger, settings)
    elif ledger.outbox.due(webhooks=True):
        _beside(lambda: supervisor().post(settings), ledger)


def _beside(work: Callable[[], object], ledger: Ledger | None) -> int | None:
    """Work in another process, which keeps no stream of the caller open."""
    from runner.process.fork import detach, use_streams  # noqa: PLC0415 - see above

    def quietly(_: int) -> None:
        use_streams(1, 1)
        work()

    if ledger is not None:
        ledger.close()
    with suppress(OSError):
        pid, pipe = detach(quietly)
        os.close(pipe)
        return pid
    return None


def _judge(run: Run, ledger: Ledger, settings: Config, ended: Exit | None) -> Run:
    from runner.lifecycle.finish import finish_abandoned  # noqa: PLC0415 - see _end
    from runner.lifecycle.judge import Exit  # noqa: PLC0415

    if (told := _told_by_meta(run)) is not None:
        # Codex can write to a --log-dir in its repository: it may be nonsense.
        with suppress(*_NONSENSE):
            return _end(run, told, ledger)
    theirs = config.at_codex_home(settings, run.spec.codex_home)
    if run.spec.terms.worktree is not None and run.launched_at is None:
        from runner.lifecycle import worktree  # noqa: PLC0415 - git, rare

        worktree.clear(run, settings)
    return _end(run, finish_abandoned(run, ended or Exit(), ledger, theirs), ledger)


def _end(run: Run, over: Run, ledger: Ledger) -> Run:
    from runner.exports import task_files  # noqa: PLC0415 - only where one was left

    try:
        if run.thread is None and over.thread is not None:
            is_ours = _name(run, over.thread, ledger)
            if not is_ours and run.spec.resume_session is None:
                over = over.with_warnings([FOREIGN_THREAD.format(over.thread)])
        ledger.runs.finish(run, over, is_judged=True)
    except StaleStateError:
        return ledger.runs.find(run.run_id)
    except ConflictFault:
        raise
    except LedgerFault as error:
        raise UnrecordedVerdictError(over, error) from error
    task_files.write_abandoned(over, ledger)
    cgroup.remove(run.run_id)
    return over


def _told_by_meta(run: Run) -> Run | None:
    """Return the verdict that a supervisor could write only to the meta file."""
    from runner.ledger import record  # noqa: PLC0415 - only where one was left

    data = files.read_json(files_of(run.spec).meta)
    try:
        told = record.from_json(data) if isinstance(data, dict) else None
    except RunnerError:
        return None
    if told is None or told.run_id != run.run_id or not told.is_finished:
        return None
    return replace(
        run,
        state=told.state,
        thread=told.thread or run.thread,
        has_begun=told.has_begun or run.has_begun,
        codex_version=told.codex_version,
        rollout_offset=told.rollout_offset,
    )


def _name(run: Run, thread: SessionId, ledger: Ledger) -> bool:
    return ledger.runs.set_thread(run, thread, None if run.spec.is_flat else thread)
