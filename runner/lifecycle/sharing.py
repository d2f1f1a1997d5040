"""Tell that several runs work in the same files."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ledger.ledger import Ledger
    from runner.model import Run


def sharing(run: Run, ledger: Ledger) -> str | None:
    """Name another run that works in the same directory; None if there is none."""
    if run.worktree is not None:
        return None
    place = os.path.realpath(run.spec.repo)
    for row in ledger.all("runs_in", session=run.session):
        if os.path.realpath(os.fsdecode(row["repo"])) == place:
            other = f"run {row['run_id']} of task {row['short_id']}"
            return f"{other} works in {place} too (--worktree keeps tasks apart)"
    return None
