"""What a supervisor delivers when its run is over."""

from __future__ import annotations

from parsers.light import signal
from runner.config import RUN_MARKER
from runner.lifecycle.judge import Cause
from runner.lifecycle.queue import deliver_all, deliver_next
from runner.model import OUTCOMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.lifecycle.judge import Exit
    from runner.supervisor.recorder import RunRecorder


def is_terminated(ended: Exit) -> bool:
    """Return whether this process was sent TERM, as by a unit or system that stops.

    What it started then would be ended with it, in the middle of its turn.
    """
    is_sent = ended.cause is Cause.SIGNAL and ended.cause_value == signal.SIGTERM
    return is_sent or signal.SIGTERM in signal.sigpending()


def deliver_after(
    recorder: RunRecorder, settings: Config, *, has_next_turn: bool
) -> None:
    """Deliver what can be delivered now, in any session; an error is a warning.

    Inside a run only its own session: what is started here ends with that run. The next
    turn of its own prompt (`has_next_turn`) comes first, with these settings.
    """
    run, ledger = recorder.run, recorder.ledger
    is_left = run.outcome is not None and OUTCOMES[run.outcome].then == "left"
    is_inside = RUN_MARKER in settings.environment

    def deliver_own() -> None:
        own = run.spec.prompt_id
        started = deliver_next(run.session, ledger, settings, own)
        if started is not None:
            started.reader.close()

    def deliver_others() -> None:
        faults = deliver_all(ledger, settings, but=run.session if is_left else None)
        if fault := faults.get(run.session):
            recorder.warn(fault)

    if not is_left and (is_inside or has_next_turn):
        recorder.attempt(deliver_own)
    if not is_inside:
        recorder.attempt(deliver_others)
