"""Wait for the turn of a run that was accepted with `--wait-for-session`."""

from __future__ import annotations

from runner import clock
from runner.codex import home
from runner.lifecycle import recover
from runner.lifecycle.handoff import STOP_SIGNAL
from runner.lifecycle.judge import verdict
from runner.model import EXIT_SIGNAL_BASE, Outcome
from runner.process.table import this_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Verdict
    from runner.process.signals import SignalInbox
    from runner.supervisor.recorder import RunRecorder

_PACE_SECONDS = 0.25
# A supervisor that was killed writes nothing.
_SWEEP_SECONDS = 1.0


def wait_for_turn(
    recorder: RunRecorder, inbox: SignalInbox, settings: Config
) -> Verdict | None:
    """Wait until the session is this run's; a limit or a signal ends the wait.

    Raises:
        RunnerError: the ledger cannot be written.
    """
    run, ledger = recorder.run, recorder.ledger
    stopped = verdict(Outcome.STOPPED, "stopped while it waited for its session")
    if not ledger.runs.claim_waiting(run, this_process()):
        return stopped
    recorder.run = run = ledger.runs.find(run.run_id)
    limit = run.spec.limits.timeout
    began, swept, told = clock.monotonic(), 0.0, ""
    while True:
        why = _foreign(recorder, settings)
        taken = None if why else ledger.queue.take(run)
        if taken is not None:
            recorder.run = taken
            return None
        if ledger.runs.find(run.run_id).is_finished:
            return stopped
        why = why or ledger.queue.reason_of(run)
        if why and why != told:
            recorder.pipe.send(waiting=why)
            told = why
        now = clock.monotonic()
        if limit is not None and now - began >= limit:
            error = f"its turn did not come within {limit:g} s: {told}"
            return verdict(Outcome.TIMED_OUT, error)
        if now - swept >= _SWEEP_SECONDS:
            swept = now
            recorder.attempt(lambda: recover.sweep(ledger, settings))
        for number in inbox.wait(_PACE_SECONDS):
            if number == STOP_SIGNAL:
                return stopped
            error = f"ended by a signal while it waited: {told}"
            return verdict(Outcome.INTERRUPTED, error, EXIT_SIGNAL_BASE + number)


def _foreign(recorder: RunRecorder, settings: Config) -> str | None:
    """Say which program without a ledger writes the thread; None when none does."""
    thread = recorder.run.spec.resume_session
    pid = home.writer_of(settings.codex_home, thread) if thread else None
    if pid is None or recorder.ledger.queue.holder(recorder.run.session):
        return None
    return f"another program writes it (pid {pid or 'unknown'})"
