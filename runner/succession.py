"""The runs of a session in their order: which tells how it stands, what comes next."""

from __future__ import annotations

from datetime import timedelta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from runner.model import Run

_LATER = timedelta(milliseconds=1)  # as fine as a record tells it


def instant_after(last: Run | None, now: datetime) -> datetime:
    """Return when a run behind another one is prepared: now, if the clock is right.

    One that was set back must not make the newest run look like an older one.
    """
    return now if last is None else max(now, last.spec.prepared_at + _LATER)


def without_bystanders(runs: Sequence[Run]) -> Sequence[Run]:
    """Leave out the runs that have only waited for their session, if others had it."""
    return [run for run in runs if not run.is_bystander] or runs


def last_of(runs: Sequence[Run]) -> Run:
    """Return the run that tells how its session stands, given all in their order."""
    return without_bystanders(runs)[-1]


def pattern_of(runs: Sequence[Run]) -> Run:
    """Return the run whose settings the next one on its session has.

    The last that Codex has worked on: one that could not be started was a wrong wish.
    """
    return next((run for run in reversed(runs) if run.launched_at), last_of(runs))
