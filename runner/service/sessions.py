"""A session at one moment, as one snapshot of the ledger tells it."""

from __future__ import annotations

from parsers.struct import Struct
from parsers.text import uuid
from runner import files
from runner.errors import RunnerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.ledger.ledger import Ledger
    from runner.ledger.queue import Prompt
    from runner.ledger.sessions import Session
    from runner.model import Run


class Task(Struct):
    """Hold one session with its runs in their order and its waiting prompts."""

    session: Session
    runs: tuple[Run, ...]
    prompts: tuple[Prompt, ...]

    @property
    def name(self) -> str:
        return self.session.name

    @property
    def own_runs(self) -> list[Run]:
        """Return its runs without those that have only waited for their turn."""
        return [run for run in self.runs if not run.waits] or list(self.runs)

    @property
    def last(self) -> Run:
        """Return the run that is not over, else the one that tells how it stands."""
        named = (run for run in self.runs if run.run_id == self.session.last_run)
        return next(named, self.runs[-1])

    @property
    def settings_source(self) -> Run:
        """Return the run whose settings the next one has."""
        launched = (run for run in reversed(self.runs) if run.launched_at)
        return next(launched, self.last)


def get(key: int, ledger: Ledger) -> Task:
    """Return a session as it is now; to be called inside a snapshot.

    Raises:
        NoSuchTaskError: it has been removed.
        RunnerFault: the ledger has no run of it.
    """
    session = ledger.sessions.get(key)
    runs = tuple(ledger.runs.of_session(key))
    if not runs:
        message = f"session {session.name} has no run on record: codex-tasks verify"
        raise RunnerFault(message)
    return Task(session=session, runs=runs, prompts=tuple(ledger.queue.waiting(key)))


def unknown_tasks(ledger: Ledger) -> list[Path]:
    """Return the directories of tasks that the ledger does not know: of an older tool.

    Their names alone are looked at, before the ledger: a new session has its row first.
    """
    names = files.names(ledger.home)
    rows = ledger.all("task_directories")
    known = {row["directory"].rpartition("/")[2] for row in rows}
    found = (ledger.home / name for name in names if name not in known and uuid(name))
    # One that has been removed meanwhile is gone.
    return [place for place in found if files.is_directory(place)]
