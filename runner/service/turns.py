"""The turns of a job, one after the other, as long as its queue has more texts."""

from __future__ import annotations

from runner import clock
from runner.lifecycle.recover import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.model import Run
    from runner.service.jobs import Jobs

_PACE_SECONDS, _SWEEP_SECONDS = 0.01, 1.0


def turns_of(
    session: Session, jobs: Jobs, ledger: Ledger, settings: Config
) -> Iterator[Run | None]:
    """Yield each turn of a job when it has ended, None while nothing is new.

    It ends when nothing of the job runs, and no text waits that will be sent soon: one
    that is held or parked does not count.
    """
    told, looked, version = set[str](), -_SWEEP_SECONDS, -1
    while True:
        now, written = clock.monotonic(), ledger.version()
        if written != version or now - looked >= _SWEEP_SECONDS:
            version, looked = written, now
            sweep(ledger, settings)
            # All runs of a job that is over are among those that are read after it.
            is_over = jobs.ended(session) is not None
            for run in ledger.runs.of_session(session.key):
                if run.is_finished and run.has_begun and run.run_id not in told:
                    told.add(run.run_id)
                    yield run
            if is_over:
                return
        yield None
        clock.sleep(_PACE_SECONDS)
