"""The detached process that owns one Codex process, from launch to verdict.

It holds the lock of the run's events file while it lives, adopts every orphan below
it, enforces the limits, and writes the verdict. Codex writes into its files itself:
when the supervisor dies, Codex works on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from parsers.struct import replace
from runner import clock, config, session_files, session_lock
from runner.codex import home
from runner.errors import RunnerError, StaleStateError
from runner.ledger.runs import Ledger
from runner.lifecycle.channel import StatusPipe
from runner.lifecycle.handoff import STOP_SIGNAL, STOP_SIGNALS, read
from runner.model import (
    EXIT_SIGNAL_BASE,
    EXIT_STOPPED,
    EXIT_TIMED_OUT,
    Claimed,
    Launched,
    Outcome,
    Verdict,
)
from runner.process.signals import SignalInbox, become_subreaper, kill_child
from runner.process.table import child, this_process
from runner.supervisor.recorder import RunRecorder
from runner.supervisor.start_codex import start_codex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

    from runner.config import Config
    from runner.lifecycle.handoff import SupervisorArgs
    from runner.model import SessionId
    from runner.notify import Notifier

_DEAF_TO = (signal.SIGHUP, signal.SIGQUIT)
_SESSION_PACE_SECONDS = 0.25
# Somebody wants the machine or the session to be quiet, or Codex cannot be started: the
# next command that looks at the session delivers what waits.
_LEAVING_THE_MAIL = (Outcome.INTERRUPTED, Outcome.STOPPED, Outcome.NOT_STARTED)


def main(argv: Sequence[str] | None = None) -> int:
    """Supervise one run; `launching` starts this."""
    orders = read(sys.argv[1:] if argv is None else argv)
    os.umask(0o077)
    inbox = SignalInbox((*STOP_SIGNALS, STOP_SIGNAL), deaf_to=_DEAF_TO)
    become_subreaper()
    settings = config.load()
    ledger = Ledger(settings.state_home)
    channel = StatusPipe(orders.channel)
    keeper = RunRecorder(ledger.find(orders.run_id), ledger, channel)
    try:
        keeper.claim(Claimed(supervisor=this_process()))
    except StaleStateError:
        return 1
    except RunnerError as error:
        # Nothing has been started: the next reader finds the run abandoned.
        keeper.warn(str(error))
        return 1
    place = keeper.run.spec.codex_home
    _supervise(keeper, orders, inbox, config.at_codex_home(settings, place))
    return 0


def _supervise(
    keeper: RunRecorder, orders: SupervisorArgs, inbox: SignalInbox, settings: Config
) -> None:
    session = keeper.run.spec.resume_session
    if orders.session_lock is not None:
        keeper.session_locks.append(orders.session_lock)
    elif session:
        refusal = _wait_for(session, keeper, inbox, settings)
        if refusal is not None:
            _close_unstarted(keeper, refusal, inbox, settings)
            return
    _note_rollout(keeper, settings)
    started = start_codex(keeper.run, settings)
    if isinstance(started, Verdict):
        _close_unstarted(keeper, started, inbox, settings)
        return
    _attend(started, keeper, inbox, settings)


def _attend(
    codex: int, keeper: RunRecorder, inbox: SignalInbox, settings: Config
) -> None:
    with _ended_unless_attended(codex):
        keeper.carry(Launched(codex=child(codex), at=clock.now()))
        if session_files.of_run(settings.state_home, keeper.run) is None:
            keeper.channel.say(launched=True)
        # What follows costs 50 ms to import: Codex is at work by now.
        from runner.accounting import prices  # noqa: PLC0415
        from runner.exports.task_files import Chronicle  # noqa: PLC0415
        from runner.lifecycle.finish import RunEnd, finish  # noqa: PLC0415
        from runner.naming import Naming  # noqa: PLC0415
        from runner.notify import Notifier  # noqa: PLC0415
        from runner.supervisor.loop import SuperviseLoop  # noqa: PLC0415

        chronicle = Chronicle(keeper.ledger, settings.state_home, keeper.warn)
        chronicle.began(keeper.run)
        # A task says so when its own files do; to others a fast launch is worth more.
        keeper.channel.say(launched=True)
        notifier = Notifier(settings, keeper.warn)
        notifier.started(keeper.run)
        if trouble := prices.trouble(settings.state_home):
            keeper.warn(trouble)  # before the run is over it can still be mended
        naming = Naming(keeper, chronicle, settings)
        attendance = SuperviseLoop(keeper, chronicle, settings, notifier, naming.name)
    ended = attendance.attend(codex, inbox)
    at = clock.now()
    left = attendance.leftovers()
    closing = RunEnd(
        at=at,
        exit=ended,
        seen=attendance.seen,
        left_running=left,
        warnings=keeper.warnings,
    )
    run = finish(keeper.run, closing, keeper.ledger, settings, keeper.warn)
    chronicle.ended(run, attendance.answer)
    if keeper.keep(run):
        naming.finish()
    _close(keeper, notifier, inbox, settings)


@contextlib.contextmanager
def _ended_unless_attended(codex: int) -> Iterator[None]:
    """End a Codex that has just been started when nobody comes to attend it.

    Its limits would not be enforced, and no signal would reach it.
    """
    try:
        yield
    except BaseException:
        kill_child(codex)
        raise


def _close(
    keeper: RunRecorder, notifier: Notifier, inbox: SignalInbox, settings: Config
) -> None:
    """Tell everybody; a slow hook holds up neither the session nor the watcher."""
    keeper.release_session()
    keeper.channel.say(finished=True)
    if keeper.run.outcome not in _LEAVING_THE_MAIL:
        _deliver_next(keeper, settings)
    notifier.completed(keeper.run)
    notifier.wait(inbox)
    keeper.note_late_warnings()


def _deliver_next(keeper: RunRecorder, settings: Config) -> None:
    """Start what waits for the session, now that it is free."""
    from runner.lifecycle import queue  # noqa: PLC0415 - see _attend

    try:
        started = queue.deliver(keeper.run.key, keeper.ledger, settings)
    except RunnerError as error:
        keeper.warn(str(error))
        return
    if started is not None:
        started.listener.close()


def _close_unstarted(
    keeper: RunRecorder, verdict: Verdict, inbox: SignalInbox, settings: Config
) -> None:
    from runner.exports.task_files import Chronicle  # noqa: PLC0415
    from runner.lifecycle.finish import finish_unstarted  # noqa: PLC0415 - see _attend
    from runner.notify import Notifier  # noqa: PLC0415

    run = finish_unstarted(keeper.run, verdict, keeper.warnings, keeper.warn)
    Chronicle(keeper.ledger, settings.state_home, keeper.warn).ended(run, None)
    keeper.keep(run)
    _close(keeper, Notifier(settings, keeper.warn), inbox, settings)


def _wait_for(
    session: SessionId,
    keeper: RunRecorder,
    inbox: SignalInbox,
    settings: Config,
) -> Verdict | None:
    """Wait until the session is ours; a signal ends the wait with a verdict."""
    told = None
    limit = keeper.run.spec.limits.timeout
    began = clock.monotonic()
    while True:
        taken = session_lock.take(
            settings.state_home, keeper.ledger, session, keeper.run.run_id
        )
        if isinstance(taken, session_lock.Held):
            keeper.session_locks.append(taken.descriptor)
            return None
        if taken.holder != told:
            told = taken.holder
            keeper.channel.say(waiting=told)
        if limit is not None and clock.monotonic() - began >= limit:
            return Verdict(
                outcome=Outcome.TIMED_OUT,
                exit_code=EXIT_TIMED_OUT,
                error=f"after {limit:g} s run {told} still held the session",
            )
        for number in inbox.wait(_SESSION_PACE_SECONDS):
            if number == STOP_SIGNAL:
                return Verdict(
                    outcome=Outcome.STOPPED,
                    exit_code=EXIT_STOPPED,
                    error=f"stopped while it waited for run {told}",
                )
            return Verdict(
                outcome=Outcome.INTERRUPTED,
                exit_code=EXIT_SIGNAL_BASE + number,
                error=f"ended by a signal while it waited for run {told}",
            )


def _note_rollout(keeper: RunRecorder, settings: Config) -> None:
    """Note how far the session's rollout goes: what comes behind it is this run's."""
    session = keeper.run.spec.resume_session
    path = home.rollout_of(settings.codex_home, session) if session else None
    if path is not None:
        with contextlib.suppress(OSError):
            keeper.run = replace(keeper.run, rollout_offset=path.stat().st_size)


def run() -> NoReturn:
    """Be the supervisor's process.

    All is on disk at its end, and a watcher waits for it: the interpreter's own
    tidying would take 20 ms.
    """
    os._exit(main())
