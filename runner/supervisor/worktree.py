"""Let a run work in the git worktree of its session, which is made when needed."""

from __future__ import annotations

import os

from parsers import json_text
from runner.errors import RunnerError
from runner.lifecycle import worktree
from runner.lifecycle.handoff import STOP_SIGNAL
from runner.lifecycle.judge import not_started, verdict
from runner.model import EXIT_SIGNAL_BASE, Outcome
from runner.supervisor.beside import Beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Run, Verdict
    from runner.process.signals import SignalInbox
    from runner.supervisor.recorder import RunRecorder

_PACE_SECONDS = 1.0


def enter_worktree(
    recorder: RunRecorder, inbox: SignalInbox, settings: Config
) -> Verdict | None:
    """Set where a run works; return why it is not started, if it cannot be."""
    run, ledger = recorder.run, recorder.ledger
    known = ledger.sessions.worktree(run.session)
    place = known and worktree.directory_in(known, run.spec.repo)
    if run.spec.terms.worktree is None and place is None:
        return None  # it was asked to work in another repository
    if not (known and place and worktree.is_made(known) and os.path.isdir(place)):  # noqa: PTH112 - as everywhere
        told = _make(recorder, inbox, settings)
        if not isinstance(told, str):
            return told
        place = told
    recorder.run = ledger.runs.work_in(run, place)
    return None


def _make(recorder: RunRecorder, inbox: SignalInbox, settings: Config) -> str | Verdict:
    """Make the worktree beside this process, which goes on to listen to signals."""
    run = recorder.run
    try:
        task = Beside(recorder.ledger).start(lambda: _made(run, settings))
    except OSError as error:
        return not_started(1, f"cannot start git: {error.strerror}")
    while os.waitpid(task.pid, os.WNOHANG)[0] == 0:
        for number in inbox.wait(_PACE_SECONDS):
            task.end()
            if number == STOP_SIGNAL:
                return verdict(Outcome.STOPPED, "stopped while git made its worktree")
            why = "ended by a signal while git made its worktree"
            return verdict(Outcome.INTERRUPTED, why, EXIT_SIGNAL_BASE + number)
    said = task.answer(0)
    told = json_text.loads(said) if said else {"error": "git was killed"}
    if "place" in told:
        return str(told["place"])
    return not_started(1, f"its worktree cannot be made: {told['error']}")


def _made(run: Run, settings: Config) -> bytes:
    try:
        told = {"place": worktree.make(run, settings)}
    except (RunnerError, OSError) as error:
        told = {"error": str(error)}
    return json_text.dumps(told).encode()
