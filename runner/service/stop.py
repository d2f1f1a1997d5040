"""Stop a run, through its supervisor or, when that is gone, without it."""

from __future__ import annotations

import contextlib
import os
import signal

from parsers.struct import Struct
from runner import clock, session_lock
from runner.config import RUN_MARKER
from runner.errors import NoSuchRunError, RunnerError, RunnerFault
from runner.ledger import record
from runner.lifecycle import queue
from runner.lifecycle.handoff import STOP_SIGNAL
from runner.lifecycle.judge import Cause, Exit
from runner.lifecycle.liveness import Life, codex_of, life_of
from runner.lifecycle.recover import living, reconcile_run
from runner.locks import lock
from runner.model import Launching, Outcome, Running
from runner.process.signals import send
from runner.process.table import is_alive, this_process, with_environment
from runner.process.terminate import Termination
from runner.process.tree import DescendantTree
from runner.service import sessions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.config import Config
    from runner.ledger.queue import Mail
    from runner.ledger.runs import Ledger
    from runner.model import ProcessId, Run, SessionId

_PACE_SECONDS = 0.02
_MOMENT_SECONDS = 1.0
# The ladder of a supervisor takes fifteen seconds at the most.
_PATIENCE_SECONDS = 20.0
_GIVE_UP_SECONDS = 60.0
# How long others may keep the index before Codex is ended all the same.
_HURRY_SECONDS = 3.0


def stop(run: Run, number: int, ledger: Ledger, settings: Config) -> bool:
    """Stop a run that is alive; tell whether there was something to stop.

    With a supervisor the signal is passed on to it, and the run ends soon after.
    Without one, Codex and all below it are ended and the run is judged here, before
    this returns; meanwhile it lives, as one with a supervisor does.

    Raises:
        NoSuchRunError: it has been removed since.
        RunnerFault: the record cannot be read.
    """
    match life_of(run), run.state:
        case Life.SUPERVISOR, (Launching() | Running()) as state:
            return send(state.supervisor, number)
        case Life.CODEX, _:
            cause = Cause.ORDER if number == STOP_SIGNAL else Cause.SIGNAL
            ended = Exit(cause=cause, cause_value=number)
            with _in_charge(run, ledger, settings) as holds_session:
                _end_orphan(run)
                reconcile_run(run, ledger, settings, ended, holds_session=holds_session)
            return True
        case _:
            return False


class Stopped(Struct):
    """Hold what stopping a session has done: the runs it ended, the prompts skipped."""

    session_id: str
    runs: tuple[str, ...]
    skipped: int


class WillNotStopError(RunnerFault):
    """Report a run that could not be ended."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"run {run.run_id} does not end: kill -9 its processes")


class StillWaitingError(RunnerFault):
    """Report prompts that the index refuses to skip; what was at work has ended."""

    def __init__(self, count: int, error: RunnerError) -> None:
        super().__init__(
            f"what was at work has ended, but the waiting prompts ({count}) are not"
            f" skipped and will be delivered: {error}"
        )


def at_work(ledger: Ledger) -> list[str]:
    """Name the sessions that have something to stop; nothing is started by that."""
    # Before the runs and after them: a prompt may be delivered meanwhile, or put back.
    with_mail = ledger.mail.counts().keys()
    at_work = {run.key for run in ledger.unfinished()}
    return sorted(with_mail | at_work | ledger.mail.counts().keys())


def stop_session(session_id: str, ledger: Ledger, settings: Config) -> Stopped:
    """End all that a session does and has before it; return when nothing is left.

    What waits in its mailbox is skipped first, so that nothing takes the place of what
    is ended. A disk that refuses that, or a process that was suspended while it had the
    index, must not keep Codex running. It is skipped again at the end: the prompt of a
    run that never came to be waits once more.

    Raises:
        WillNotStopError: a process of it cannot be ended.
        StillWaitingError: prompts that wait cannot be skipped.
        LedgerFault: the index cannot be read.
    """
    # Who sends after that wants it to be done.
    up_to = ledger.mail.last(session_id)
    skipped: list[Mail] = []
    with contextlib.suppress(RunnerError), ledger.database.hurried(_HURRY_SECONDS):
        skipped += queue.skip(session_id, ledger, settings.state_home, up_to).prompts
    ordered: dict[str, float] = {}
    over: set[str] = set()
    while True:
        _end_all(session_id, ordered, over, ledger, settings)
        try:
            last = queue.skip(session_id, ledger, settings.state_home, up_to)
        except RunnerError as error:
            if waiting := len(ledger.mail.waiting(session_id)):
                raise StillWaitingError(waiting, error) from error
            break
        skipped += last.prompts
        # Somebody may have delivered meanwhile what was put back.
        if last.unfinished <= over:
            break
    with contextlib.suppress(RunnerError):
        # Who has sent since relied on the run that was at work to deliver it.
        sessions.is_at_work(session_id, ledger, settings)
    row = ledger.sessions.of(session_id)
    return Stopped(
        # Codex may have named it since.
        session_id=row.session_id if row is not None else session_id,
        runs=tuple(each for each in ordered if not _has_succeeded(each, ledger)),
        # As everywhere: a quit is no prompt that was lost.
        skipped=sum(not mail.is_quit for mail in skipped),
    )


def _end_all(
    session_id: str,
    ordered: dict[str, float],
    over: set[str],
    ledger: Ledger,
    settings: Config,
) -> None:
    """End the runs on a session.

    Args:
        session_id: the session.
        ordered: which runs have been told to end, and when; those told are added.
        over: takes the runs that are over, also one that the index cannot note.
        ledger: the index.
        settings: for judging what was left behind.
    """
    began = clock.monotonic()
    while found := _living(session_id, over, ledger, settings):
        for run in found:
            if clock.monotonic() - began >= _GIVE_UP_SECONDS:
                raise WillNotStopError(run)
            _press(run, ordered, ledger, settings)
        clock.sleep(_PACE_SECONDS)


def _living(
    session_id: str, over: set[str], ledger: Ledger, settings: Config
) -> list[Run]:
    unfinished = ledger.unfinished_of(session_id)
    found = living(unfinished, ledger, settings)
    over.update({run.run_id for run in unfinished} - {run.run_id for run in found})
    return found


def _press(
    run: Run, ordered: dict[str, float], ledger: Ledger, settings: Config
) -> None:
    """Order a run to stop, once; a supervisor that does not obey is killed."""
    now = clock.monotonic()
    at = ordered.get(run.run_id)
    if at is not None and now - at < _PATIENCE_SECONDS:
        return
    if at is not None and isinstance(run.state, Launching | Running):
        # What it leaves behind is ended at the next look.
        send(run.state.supervisor, signal.SIGKILL)
    if stop(run, STOP_SIGNAL, ledger, settings):
        ordered[run.run_id] = now


def _has_succeeded(run_id: str, ledger: Ledger) -> bool:
    try:
        return ledger.find(run_id).outcome is Outcome.SUCCEEDED
    except NoSuchRunError:
        return False  # its session has been removed since


@contextlib.contextmanager
def _in_charge(run: Run, ledger: Ledger, settings: Config) -> Iterator[bool]:
    """Take the place of a supervisor that is gone; tell whether its session is ours.

    Else somebody who looks while the tools of a Codex that has ended still resist would
    find the run lost, and its session free. A lock that cannot be had keeps nobody from
    ending the run.
    """
    takes = [lambda: lock(record.files_of(run.spec).events)]
    if (session := run.session) is not None:
        # First: who sees that the run has somebody in charge looks for it there.
        takes.insert(0, lambda: _session_lock(session, run, ledger, settings))
    locks = [_patiently(take) for take in takes]
    try:
        yield session is not None and locks[0] is not None
    finally:
        for held in locks:
            if held is not None:
                os.close(held)


def _session_lock(
    session: SessionId, run: Run, ledger: Ledger, settings: Config
) -> int | None:
    taken = session_lock.take(settings.state_home, ledger, session, run.run_id)
    return taken.descriptor if isinstance(taken, session_lock.Held) else None


def _patiently(take: Callable[[], int | None]) -> int | None:
    """Take a lock that others have for a moment only, to see whether it is free."""
    deadline = clock.monotonic() + _MOMENT_SECONDS
    with contextlib.suppress(RunnerError):
        while (held := take()) is None and clock.monotonic() < deadline:
            clock.sleep(_PACE_SECONDS)
        return held
    return None


def _end_orphan(run: Run) -> None:
    codex = codex_of(run)
    if codex is None:
        return
    family = DescendantTree(codex.pid, remember=True)

    def members() -> list[ProcessId]:
        found = {*family.members(), *with_environment(RUN_MARKER, run.run_id)}
        found -= {codex, this_process()}
        return [codex, *found] if is_alive(codex) else [*found]

    members()
    ladder = Termination(lambda: codex_of(run), members)
    while not ladder.step():
        clock.sleep(_PACE_SECONDS)
