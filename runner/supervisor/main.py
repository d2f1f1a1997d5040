"""The detached process that owns one Codex process, from its record to its verdict.

It is a copy of the command that starts the run. It holds the lock of `owner`, adopts
every orphan below it, enforces the limits, and records the verdict. Codex writes to its
files directly: when the supervisor is killed, Codex goes on.
"""

from __future__ import annotations

import os
import sys

from parsers.struct import replace
from runner import clock, config
from runner.codex import home
from runner.codex.login import missing_login
from runner.errors import RunnerError, StaleStateError
from runner.ledger.ledger import Ledger
from runner.lifecycle import timer
from runner.lifecycle.handoff import (
    IS_COPY,
    STOP_SIGNAL,
    STOP_SIGNALS,
    StatusPipe,
    argv_of,
)
from runner.lifecycle.judge import verdict
from runner.lifecycle.sharing import sharing
from runner.lifecycle.timer import ring
from runner.model import EXIT_SIGNAL_BASE, Claimed, Launched, Outcome, Waiting
from runner.process.fork import become, show_as, use_streams
from runner.process.growth import GrowthSignal
from runner.process.signals import SignalInbox, become_subreaper, kill_child
from runner.process.table import child, this_process
from runner.supervisor.recorder import RunRecorder
from runner.supervisor.start_codex import start_codex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.lifecycle.launch import PreparedRun
    from runner.model import Run, Verdict

_PACE_SECONDS = 0.25
# How often a waiting run looks for killed supervisors, and whether a timer does that.
_SWEEP_SECONDS, _LOOK_SECONDS = 1.0, 60.0
# How long it leaves a slot to prompts before it: none may have their secrets.
_YIELD_SECONDS = 1.0


def supervise_new(
    prepared: PreparedRun, ledger: Ledger, pipe: StatusPipe, settings: Config
) -> None:
    """Supervise a run to its verdict; this process is a copy that has recorded it."""
    os.chdir("/")
    run = prepared.run
    if not IS_COPY:
        ledger.close()
        handed = (pipe.descriptor, prepared.owner, prepared.events)
        become(argv_of(run.run_id, *handed), settings.environment, handed)
    _supervise(RunRecorder(run, ledger, pipe), prepared.events, settings)


def main() -> int:
    """Supervise a recorded run, where a supervisor is no copy of the caller."""
    settings = config.load()
    run_id, (pipe, owner, events) = sys.argv[2], map(int, sys.argv[3:])
    for descriptor in (pipe, owner, events):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the call has it so
    ledger = Ledger(settings.state_home)
    recorder = RunRecorder(ledger.runs.find(run_id), ledger, StatusPipe(pipe))
    _supervise(recorder, events, settings)
    return 0


def tell(settings: Config) -> None:
    """Send the overdue notifications of supervisors that are gone, and of no run."""
    from runner.notify import Notifier  # noqa: PLC0415 - only here

    ledger = Ledger(settings.state_home)
    notifier = Notifier(ledger, settings, warn=lambda _: None)
    notifier.tell_overdue()
    notifier.wait(SignalInbox(), STOP_SIGNALS)


def post(settings: Config) -> None:
    """Send the webhooks that are due; then the timer looks when the next one is."""
    from runner.notify import sender  # noqa: PLC0415 - only here

    try:
        sender.send_due(Ledger(settings.state_home), settings)
    finally:
        ring(settings.state_home)


def run_timer(settings: Config) -> None:
    """Be the timer of a state directory."""
    # Loaded now: what it starts later is a copy, also after an upgrade of the suite.
    from runner.notify import sender  # noqa: F401, PLC0415
    from runner.supervisor import loop, timer  # noqa: F401, PLC0415

    use_streams(1, 1)  # it keeps no stream of the caller open
    os.chdir("/")
    show_as(lambda _: [b"codex-timer", os.fsencode(settings.state_home)])
    timer.run(settings)


def _supervise(recorder: RunRecorder, events: int, settings: Config) -> None:
    run, inbox = recorder.run, SignalInbox()
    place = run.spec.codex_home
    # The sender of a queued prompt has been told already.
    if settings.own is None and (note := config.ignored_home(settings, place)):
        recorder.pipe.send(warning=note)
    settings = config.at_codex_home(settings, place)
    try:
        supervise(recorder, events, inbox, settings)
    except RunnerError as error:
        # Nothing was started: the next reader judges the abandoned run.
        recorder.pipe.send(warning=str(error))


def supervise(
    recorder: RunRecorder, events: int, inbox: SignalInbox, settings: Config
) -> None:
    """Supervise a run from its launch to its verdict.

    Raises:
        RunnerError: the ledger cannot be written; nothing was started.
    """
    started = _begin(recorder, events, inbox, settings)
    if started is None:
        return
    try:
        if isinstance(started, int):
            recorder.advance(Launched(codex=child(started), at=clock.now()))
            recorder.write_meta()
            if missing := missing_login(recorder.run.spec.codex, settings):
                recorder.pipe.send(warning="{} ({})".format(*missing))
            if beside := sharing(recorder.run, recorder.ledger):
                recorder.pipe.send(warning=beside)
            recorder.pipe.send(launched=True)
        # This import takes 50 ms, during which Codex already runs.
        from runner.supervisor.loop import SuperviseLoop  # noqa: PLC0415

        loop = SuperviseLoop(recorder, inbox, settings)
    except BaseException:
        # Without the loop its limits and signals would be ignored.
        if isinstance(started, int):
            kill_child(started)
        raise
    if isinstance(started, int):
        loop.attend(started)
    else:
        loop.refuse(started)


def _begin(
    recorder: RunRecorder, events: int, inbox: SignalInbox, settings: Config
) -> int | Verdict | None:
    """Start Codex when the session is free; return None when the run has ended."""
    is_waiting = isinstance(recorder.run.state, Waiting)
    if is_waiting and (why := _wait_for_turn(recorder, inbox, settings)):
        return why
    # Not before: what a waiting run has delivered for others is theirs.
    become_subreaper()
    try:
        recorder.claim(Claimed(supervisor=this_process()))
    except StaleStateError:
        run = recorder.run = recorder.ledger.runs.find(recorder.run.run_id)
        if run.is_finished or not run.is_stop_asked:
            return None
        error = "the run was stopped before Codex was started"
        return verdict(Outcome.STOPPED, error)
    if recorder.run.spec.terms.has_budget and (why := _spent(recorder)):
        return why
    session, terms = recorder.run.spec.resume_session, recorder.run.spec.terms
    known = session and recorder.ledger.sessions.worktree(recorder.run.session)
    if known or terms.worktree is not None:
        from runner.supervisor.worktree import enter_worktree  # noqa: PLC0415 - few runs

        if why := enter_worktree(recorder, inbox, settings):
            os.close(events)
            return why
    # Records after the present end of the session's rollout belong to this run.
    if session and (paths := home.rollouts_of(settings.codex_home, session)):
        recorder.run = replace(recorder.run, rollout_offset=home.size_of(paths))
    started = start_codex(recorder.run, events, settings)
    os.close(events)
    return started


def _spent(recorder: RunRecorder) -> Verdict | None:
    """Return the verdict on a run whose prompt has used up its budget."""
    from runner.supervisor import budget  # noqa: PLC0415 - few runs have one

    return budget.refusal(recorder.run, recorder.ledger)


def _wait_for_turn(
    recorder: RunRecorder, inbox: SignalInbox, settings: Config
) -> Verdict | None:
    """Wait until this run has the session; a limit or a signal ends the wait.

    Each commit to the ledger is a signal, so a run that waits for others never wakes up
    for nothing.
    """
    run, ledger, home = recorder.run, recorder.ledger, settings.state_home
    stopped = verdict(Outcome.STOPPED, "stopped while it waited for its session")
    if not ledger.runs.claim_waiting(run, this_process()):
        return stopped
    recorder.run = run = ledger.runs.find(run.run_id)
    limit = run.spec.limits.timeout
    growth = GrowthSignal(home, (), is_own=True)
    began, swept, told, free = clock.monotonic(), 0.0, "", 0.0
    while True:
        now, foreign = clock.monotonic(), _foreign(recorder, settings)
        why = foreign or ledger.queue.reason_of(run)
        free = 0.0 if why else free or now
        if free and (taken := _take(run, ledger, now - free)):
            growth.end()
            timer.ring(home)  # there may be slots left for prompts behind this one
            recorder.run = taken
            return None
        if ledger.runs.find(run.run_id).is_finished:
            return stopped
        if why and why != told:
            recorder.pipe.send(waiting=why)
            told = why
        if limit is not None and now - began >= limit:
            error = f"its turn did not come within {limit:g} s: {told}"
            return verdict(Outcome.TIMED_OUT, error)
        has_timer = timer.is_running(home)
        if now - swept >= (_LOOK_SECONDS if has_timer else _SWEEP_SECONDS):
            swept = now
            _sweep(ledger, settings)
        is_told = growth.is_on and has_timer and why and not foreign
        pause = _until_change(ledger) if is_told else _PACE_SECONDS
        for number in inbox.wait(min(pause, limit or pause)):
            if number == STOP_SIGNAL:
                return stopped
            error = f"ended by a signal while it waited: {told}"
            return verdict(Outcome.INTERRUPTED, error, EXIT_SIGNAL_BASE + number)


def _take(run: Run, ledger: Ledger, waited: float) -> Run | None:
    """Take the turn of a waiting run; for a time, leave it to prompts before it."""
    is_polite = waited < _YIELD_SECONDS
    if is_polite and ledger.value("lets_others_first", run_id=run.run_id):
        return None
    return ledger.queue.take(run)


def _until_change(ledger: Ledger) -> float:
    """Return the seconds until a time in the ledger may end the wait."""
    if (at := ledger.value("next_deadline")) is None:
        return _LOOK_SECONDS
    left = clock.parse_iso(at).timestamp() - clock.now().timestamp()
    return min(max(left, _PACE_SECONDS), _LOOK_SECONDS)


def _sweep(ledger: Ledger, settings: Config) -> None:
    """Sweep in a process that has ended before this one becomes a subreaper."""
    from runner.lifecycle.recover import sweep_beside  # noqa: PLC0415 - few runs wait

    if (sweeper := sweep_beside(ledger, settings)) is not None:
        os.waitpid(sweeper, 0)


def _foreign(recorder: RunRecorder, settings: Config) -> str | None:
    """Return a message on another program that writes the thread, or None."""
    thread = recorder.run.spec.resume_session
    pid = home.writer_of(settings.codex_home, thread) if thread else None
    if pid is None or recorder.ledger.queue.holder(recorder.run.session):
        return None
    return f"another program writes the session (pid {pid or 'unknown'})"
