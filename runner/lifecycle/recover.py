"""Tell the truth about a run that its supervisor can no longer tell."""

from __future__ import annotations

import contextlib
import os

from parsers.struct import replace
from runner import clock, config, session_files, session_lock
from runner.errors import (
    FileFault,
    LedgerFault,
    NoSuchRunError,
    RunnerError,
    StaleStateError,
)
from runner.ledger import record
from runner.ledger.runs import read_meta
from runner.lifecycle.liveness import Life, codex_of, life_of
from runner.locks import lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.lifecycle.judge import Exit
    from runner.model import Run

# To judge a run takes a second at the most; a judge may be suspended.
_PATIENCE_SECONDS = 10.0
_PACE_SECONDS = 0.01


def living(runs: Iterable[Run], ledger: Ledger, settings: Config) -> list[Run]:
    """Return those of some runs that live, after judging those that do not.

    One that has been removed since is over too.

    Raises:
        RunnerFault: a record cannot be read.
    """
    found = []
    for run in runs:
        with contextlib.suppress(NoSuchRunError):
            found.append(reconcile_run(run, ledger, settings))
    return [run for run in found if not run.is_finished]


def reconcile_run(
    run: Run,
    ledger: Ledger,
    settings: Config,
    ended: Exit | None = None,
    *,
    holds_session: bool = False,
) -> Run:
    """Return a run as it really is, judging it when nobody keeps it alive.

    A run that lives is returned as it is. One that was left behind takes the verdict
    that its supervisor could write to the meta file alone, else the one that its log
    proves, else it is lost.

    Args:
        run: the run as it was read.
        ledger: the index.
        settings: for the place of Codex's rollouts and the state directory.
        ended: why it is over, when the caller has ended it in a supervisor's place.
        holds_session: the caller has the lock of its session.

    Raises:
        NoSuchRunError: it has been removed since.
        RunnerFault: the record cannot be read.
    """
    run = session_files.located(settings.state_home, run)
    if run.is_finished:
        return run
    life = life_of(run) if ended is None else _life_without_supervisor(run)
    if life is Life.SUPERVISOR:
        return run
    with _alone_with(run):
        # Between the reading of the record and the look at the processes the supervisor
        # may have written its verdict, or Codex been started and its session been
        # named; or somebody else has judged the run.
        now = session_files.located(settings.state_home, ledger.find(run.run_id))
        if now.state == run.state and now.spec.log_dir == run.spec.log_dir:
            if life is Life.CODEX:
                return _named(now, ledger, settings)
            return _judged(now, ledger, settings, ended, holds_session=holds_session)
    return reconcile_run(now, ledger, settings, ended, holds_session=holds_session)


@contextlib.contextmanager
def _alone_with(run: Run) -> Iterator[None]:
    """Let nobody else name or judge a run meanwhile; who was faster is waited for.

    Of two at once one would move the files that the other is about to read, and what
    is not found is taken for lost. The lock is on the prompt, which nobody writes to.
    """
    prompt = record.files_of(run.spec).prompt
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    held = None
    with contextlib.suppress(RunnerError):
        while (held := lock(prompt, is_there=True)) is None:
            if clock.monotonic() >= deadline:
                break
            clock.sleep(_PACE_SECONDS)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _judged(
    run: Run,
    ledger: Ledger,
    settings: Config,
    ended: Exit | None,
    *,
    holds_session: bool,
) -> Run:
    from runner.lifecycle.finish import finish_abandoned  # noqa: PLC0415 - 40 ms, only where one was left
    from runner.lifecycle.judge import Exit  # noqa: PLC0415

    told = _told_by_meta(run)
    # The meta file may be all that has the verdict: it stays as it is.
    run = _named(run, ledger, settings, with_meta=told is None)
    theirs = config.at_codex_home(settings, run.spec.codex_home)
    finished = (
        replace(told, spec=run.spec, session_id=told.session_id or run.session_id)
        if told is not None
        else finish_abandoned(run, ended or Exit(), ledger, theirs)
    )
    with contextlib.suppress(RunnerError):
        _tell_session(finished, ledger, settings, holds_session=holds_session)
    return _on_record(run, finished, ledger)


def _life_without_supervisor(run: Run) -> Life:
    return Life.CODEX if codex_of(run) else Life.NONE


def _on_record(run: Run, finished: Run, ledger: Ledger) -> Run:
    """Put a verdict on record; a full disk does not keep the truth from being told."""
    try:
        return ledger.store(run, finished)
    except StaleStateError:
        return ledger.find(run.run_id)
    except LedgerFault:
        return finished
    except FileFault:
        with contextlib.suppress(LedgerFault):
            ledger.store(run, finished, with_meta=False)
        return finished


def _named(
    run: Run, ledger: Ledger, settings: Config, *, with_meta: bool = True
) -> Run:
    """Give a session its name when its supervisor has died before it could."""
    from runner.exports import task_files  # noqa: PLC0415 - see settle

    home = settings.state_home
    files = session_files.of_run(home, run)
    if files is None:
        return run
    is_unnamed = files == session_files.pending(home, run.run_id)
    if not is_unnamed and run.session is not None:
        return run
    session = run.session or task_files.thread_of(run)
    if session is None:
        return run
    writer = task_files.Chronicle(ledger, home, lambda _: None)
    try:
        named = replace(run, session_id=session)
        known = ledger.store(run, named, with_meta=with_meta)
        moved = writer.name(known, session) or known
        return ledger.store(known, moved, with_meta=with_meta)
    except RunnerError:
        # Another reader was faster, or the disk refuses: the next one tries again.
        return session_files.located(home, ledger.find(run.run_id))


def _told_by_meta(run: Run) -> Run | None:
    try:
        told = read_meta(record.files_of(run.spec).meta)
    except RunnerError:
        return None
    return told if told is not None and told.is_finished else None


def _tell_session(
    run: Run, ledger: Ledger, settings: Config, *, holds_session: bool
) -> None:
    """Complete the session's own files; what cannot be written is made anew later."""
    from runner.exports import task_files  # noqa: PLC0415 - see settle

    writer = task_files.Chronicle(ledger, settings.state_home, lambda _: None)
    if writer.files_of(run) is None:
        return
    held = None
    if run.session is not None and not holds_session:
        taken = session_lock.take_patiently(
            settings.state_home, ledger, run.session, run.run_id
        )
        if isinstance(taken, session_lock.Busy):
            # Another run writes there; this one's lines come when the log is made anew.
            return
        held = taken.descriptor
    try:
        # An older run's answer must not take the place of a newer one's.
        last = ledger.last_of(run.key)
        is_last = last is None or last.run_id == run.run_id
        writer.ended(run, task_files.answer_of(run) if is_last else None)
        runs = [
            session_files.located(settings.state_home, each)
            for each in ledger.of_session(run.key)
        ]
        # It may have been moved while others had it.
        if (files := writer.files_of(run)) is not None:
            with contextlib.suppress(RunnerError):
                task_files.write_log(files, runs)
    finally:
        if held is not None:
            os.close(held)
