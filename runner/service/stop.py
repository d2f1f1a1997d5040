"""Stop a run, through its supervisor or, when that is gone, without it."""

from __future__ import annotations

from runner import clock, process, proctable
from runner.config import RUN_MARKER
from runner.judge import Cause, Exit
from runner.ladder import Ladder
from runner.liveness import Life, codex_of, life_of
from runner.model import Launching, Running
from runner.settle import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import ProcessId, Run
    from runner.store.ledger import Ledger

_PACE_SECONDS = 0.02


def stop(run: Run, number: int, ledger: Ledger, settings: Config) -> bool:
    """Stop a run that is alive; tell whether there was something to stop.

    With a supervisor the signal is passed on to it, and the run ends soon after.
    Without one, Codex and all below it are ended and the run is judged here, before
    this returns.
    """
    match life_of(run), run.state:
        case Life.SUPERVISOR, (Launching() | Running()) as state:
            return process.send(state.supervisor, number)
        case Life.CODEX, _:
            _end_orphan(run)
            ended = Exit(cause=Cause.SIGNAL, cause_value=number)
            settle(run, ledger, settings, ended)
            return True
        case _:
            return False


def _end_orphan(run: Run) -> None:
    codex = codex_of(run)
    if codex is None:
        return
    family = proctable.Family(codex.pid, remember=True)

    def members() -> list[ProcessId]:
        found = {*family.members(), *proctable.carriers(RUN_MARKER, run.run_id)}
        found -= {codex, proctable.this_process()}
        return [codex, *found] if proctable.is_alive(codex) else [*found]

    members()
    ladder = Ladder(lambda: codex_of(run), members)
    while not ladder.step():
        clock.sleep(_PACE_SECONDS)
