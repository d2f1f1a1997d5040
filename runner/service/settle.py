"""Tell the truth about a run that its supervisor can no longer tell."""

from __future__ import annotations

from runner import record
from runner.errors import FileFault, RunnerError, StaleStateError
from runner.judge import Exit
from runner.liveness import Life, life_of
from runner.store.ledger import read_meta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Run
    from runner.store.ledger import Ledger

_UNSEEN = Exit()


def settle(run: Run, ledger: Ledger, settings: Config, ended: Exit = _UNSEEN) -> Run:
    """Return a run as it really is, judging it when nobody keeps it alive.

    A run that lives is returned as it is. One that was left behind takes the verdict
    that its supervisor could write to the meta file alone, else the one that its log
    proves, else it is lost. `ended` says why, when the caller has ended it.

    Raises:
        RunnerFault: the record cannot be read or written.
    """
    if run.is_finished or life_of(run) is not Life.NONE:
        return run
    from runner import conclude  # noqa: PLC0415 - 40 ms, only where one was left

    # Between the reading of the record and the look at the processes the supervisor
    # may have written its verdict.
    run = ledger.find(run.run_id)
    if run.is_finished:
        return run
    finished = _told_by_meta(run) or conclude.conclude_abandoned(
        run, ended, ledger, settings
    )
    try:
        return ledger.store(run, finished)
    except StaleStateError:
        return ledger.find(run.run_id)
    except FileFault:
        return ledger.store(run, finished, with_meta=False)


def _told_by_meta(run: Run) -> Run | None:
    try:
        told = read_meta(record.files_of(run.spec).meta)
    except RunnerError:
        return None
    return told if told is not None and told.is_finished else None
