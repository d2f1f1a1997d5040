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
from runner.model import OUTCOMES, Claimed, Launched, Outcome, Verdict, Waiting
from runner.process import cgroup
from runner.process.signals import SignalInbox, become_subreaper, kill_child
from runner.process.table import child, this_process
from runner.supervisor.recorder import RunRecorder
from runner.supervisor.start_codex import start_codex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runner.config import Config
    from runner.lifecycle.handoff import SupervisorArgs
    from runner.notify import Notifier

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
    pipe = StatusPipe(args.pipe)
    recorder = RunRecorder(ledger.runs.find(args.run_id), ledger, pipe)
    try:
        return _supervise(recorder, args, inbox, settings)
    except RunnerError as error:
        # Nothing has been started: the next reader finds the run abandoned.
        recorder.warn(str(error))
        return 1


def _supervise(
    recorder: RunRecorder, args: SupervisorArgs, inbox: SignalInbox, settings: Config
) -> int:
    if isinstance(recorder.run.state, Waiting):
        from runner.supervisor.wait import wait_for_turn  # noqa: PLC0415 - few runs wait

        refusal = wait_for_turn(recorder, inbox, settings)
        if refusal is not None:
            _finish_unstarted(recorder, refusal, inbox, settings)
            return 0
    try:
        recorder.claim(Claimed(supervisor=this_process()))
    except StaleStateError:
        recorder.run = recorder.ledger.runs.find(recorder.run.run_id)
        if recorder.run.is_finished or not recorder.run.is_stop_asked:
            return 1
        error = "the run was stopped before Codex was started"
        refusal = verdict(Outcome.STOPPED, error)
        _finish_unstarted(recorder, refusal, inbox, settings)
        return 0
    settings = config.at_codex_home(settings, recorder.run.spec.codex_home)
    _note_rollout(recorder, settings)
    started = start_codex(recorder.run, args.events, settings)
    os.close(args.events)
    if isinstance(started, Verdict):
        _finish_unstarted(recorder, started, inbox, settings)
    else:
        _attend(started, recorder, inbox, settings)
    return 0


def _attend(
    codex: int, recorder: RunRecorder, inbox: SignalInbox, settings: Config
) -> None:
    try:
        recorder.advance(Launched(codex=child(codex), at=clock.now()))
        recorder.write_meta()
        recorder.pipe.send(launched=True)
        # What follows costs 50 ms to import: Codex is at work by now.
        from runner.accounting import prices  # noqa: PLC0415
        from runner.exports import run_exports  # noqa: PLC0415
        from runner.exports.task_files import TaskExport  # noqa: PLC0415
        from runner.lifecycle import queue  # noqa: F401, PLC0415 - for the end
        from runner.lifecycle.finish import RunEnd, finish  # noqa: PLC0415
        from runner.notify import Notifier  # noqa: PLC0415
        from runner.supervisor.loop import SuperviseLoop  # noqa: PLC0415

        ledger = recorder.ledger
        export = TaskExport(ledger, recorder.attempt)
        notifier = Notifier(ledger, settings, recorder.warn)
        loop = SuperviseLoop(recorder, export, settings, notifier)
    except BaseException:
        # Its limits would not be enforced, and no signal would reach it.
        kill_child(codex)
        raise
    recorder.attempt(lambda: notifier.tell(recorder.run.run_id))
    # Before the run is over it can still be fixed.
    if trouble := prices.trouble(settings.state_home):
        recorder.warn(trouble)
    ended = loop.supervise(codex, inbox)
    end = RunEnd(
        at=clock.now(),
        exit=ended,
        seen=loop.seen,
        left_running=loop.left_running(),
        warnings=recorder.warnings,
    )
    recorder.finish(finish(recorder.run, end, ledger, settings))
    cgroup.remove(recorder.run.run_id)
    recorder.attempt(lambda: export.finish(recorder.run, loop.answer))
    run_exports.write_end(recorder.run, recorder.attempt)
    _close(recorder, notifier, inbox, settings)


def _close(
    recorder: RunRecorder, notifier: Notifier, inbox: SignalInbox, settings: Config
) -> None:
    """Tell others; a slow hook holds up neither the session nor the caller."""
    from runner.exports import queue_files  # noqa: PLC0415 - see _attend
    from runner.lifecycle.queue import deliver_next  # noqa: PLC0415

    run, ledger = recorder.run, recorder.ledger

    def deliver() -> None:
        if (started := deliver_next(run.session, ledger, settings)) is not None:
            started.reader.close()

    changed = [] if run.spec.prompt_id is None else [run.spec.prompt_id]
    recorder.attempt(lambda: queue_files.refresh(ledger, run.session, changed))
    recorder.pipe.send(finished=True)
    if run.outcome is None or OUTCOMES[run.outcome].then != "left":
        recorder.attempt(deliver)
    notifier.tell(run.run_id)
    notifier.wait(inbox, STOP_SIGNALS)
    recorder.attempt(ledger.back_up_daily)
    recorder.add_late_warnings()


def _finish_unstarted(
    recorder: RunRecorder, why: Verdict, inbox: SignalInbox, settings: Config
) -> None:
    from runner.exports import run_exports  # noqa: PLC0415 - see _attend
    from runner.exports.task_files import TaskExport  # noqa: PLC0415
    from runner.lifecycle.finish import finish_unstarted  # noqa: PLC0415
    from runner.notify import Notifier  # noqa: PLC0415

    recorder.finish(finish_unstarted(recorder.run, why, recorder.warnings))
    export = TaskExport(recorder.ledger, recorder.attempt)
    recorder.attempt(lambda: export.finish(recorder.run, None))
    run_exports.write_end(recorder.run, recorder.attempt)
    notifier = Notifier(recorder.ledger, settings, recorder.warn)
    _close(recorder, notifier, inbox, settings)


def _note_rollout(recorder: RunRecorder, settings: Config) -> None:
    """Note how far the session's rollout goes: what comes after it is this run's."""
    session = recorder.run.spec.resume_session
    path = home.rollout_of(settings.codex_home, session) if session else None
    if path is not None and (status := files.status(path)) is not None:
        recorder.run = replace(recorder.run, rollout_offset=status.st_size)


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
