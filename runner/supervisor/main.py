"""The detached process that owns one Codex process, from launch to verdict.

It holds the lock of `owner` while it lives, adopts every orphan below it, enforces the
limits, and puts the verdict on record. Codex writes into its files itself: when the
supervisor is killed, Codex goes on.
"""

from __future__ import annotations

import os
import signal
import sys

from parsers.struct import replace
from runner import clock, config, files
from runner.codex import home
from runner.errors import RunnerError, StaleStateError
from runner.ledger.ledger import Ledger
from runner.lifecycle.handoff import STOP_SIGNAL, STOP_SIGNALS, StatusPipe, read
from runner.lifecycle.judge import verdict
from runner.model import Claimed, Launched, Outcome, Waiting
from runner.process.signals import SignalInbox, become_subreaper, kill_child
from runner.process.table import child, this_process
from runner.supervisor.recorder import RunRecorder
from runner.supervisor.start_codex import start_codex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runner.config import Config
    from runner.model import Verdict

_DEAF_TO = (signal.SIGHUP, signal.SIGQUIT)


def main(argv: Sequence[str] | None = None) -> int:
    """Supervise one run; `lifecycle.launch` starts this."""
    words = sys.argv[1:] if argv is None else argv
    os.umask(0o077)
    inbox = SignalInbox((*STOP_SIGNALS, STOP_SIGNAL), deaf_to=_DEAF_TO)
    become_subreaper()
    settings = config.load()
    ledger = Ledger(settings.state_home)
    if words[1:] == ["tell"]:
        return _tell(ledger, inbox, settings)
    args = read(words)
    run = ledger.runs.find(args.run_id)
    settings = config.at_codex_home(settings, run.spec.codex_home)
    recorder = RunRecorder(run, ledger, StatusPipe(args.pipe))
    try:
        return supervise(recorder, args.events, inbox, settings)
    except RunnerError as error:
        # Nothing has been started: the next reader finds the run abandoned.
        recorder.warn(str(error))
        return 1


def supervise(
    recorder: RunRecorder, events: int, inbox: SignalInbox, settings: Config
) -> int:
    """Be in charge of a run, from its launch to its verdict.

    Returns:
        1 when it was over before Codex could be started, else 0.

    Raises:
        RunnerError: the ledger cannot be written; nothing has been started.
    """
    started = _begin(recorder, events, inbox, settings)
    if started is None:
        return 1
    try:
        if isinstance(started, int):
            recorder.advance(Launched(codex=child(started), at=clock.now()))
            recorder.write_meta()
            recorder.pipe.send(launched=True)
        # This costs 50 ms to import: Codex is at work by now.
        from runner.supervisor.loop import SuperviseLoop  # noqa: PLC0415

        loop = SuperviseLoop(recorder, inbox, settings)
    except BaseException:
        # Its limits would not be enforced, and no signal would reach it.
        if isinstance(started, int):
            kill_child(started)
        raise
    if isinstance(started, int):
        loop.attend(started)
    else:
        loop.refuse(started)
    return 0


def _begin(
    recorder: RunRecorder, events: int, inbox: SignalInbox, settings: Config
) -> int | Verdict | None:
    """Start Codex when it is the run's turn, or say why not; None when it is over."""
    if isinstance(recorder.run.state, Waiting):
        from runner.supervisor.wait import wait_for_turn  # noqa: PLC0415 - few runs wait

        if refusal := wait_for_turn(recorder, inbox, settings):
            return refusal
    try:
        recorder.claim(Claimed(supervisor=this_process()))
    except StaleStateError:
        run = recorder.run = recorder.ledger.runs.find(recorder.run.run_id)
        if run.is_finished or not run.is_stop_asked:
            return None
        error = "the run was stopped before Codex was started"
        return verdict(Outcome.STOPPED, error)
    # What comes after the present end of the session's rollout is this run's.
    session = recorder.run.spec.resume_session
    path = home.rollout_of(settings.codex_home, session) if session else None
    if path is not None and (status := files.status(path)) is not None:
        recorder.run = replace(recorder.run, rollout_offset=status.st_size)
    started = start_codex(recorder.run, events, settings)
    os.close(events)
    return started


def _tell(ledger: Ledger, inbox: SignalInbox, settings: Config) -> int:
    """Tell what is due in the outbox, in the place of supervisors that are gone."""
    from runner.notify import Notifier  # noqa: PLC0415 - only here

    warnings: list[str] = []
    notifier = Notifier(ledger, settings, warnings.append)
    for run_id in ledger.runs.with_untold():
        notifier.tell(run_id)
    notifier.wait(inbox, STOP_SIGNALS)
    return 0


def run() -> NoReturn:
    """Be the supervisor's process.

    All is on disk at its end, and a caller waits for it: the interpreter's own
    clean-up would take 20 ms.
    """
    os._exit(main())
