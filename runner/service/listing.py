"""List sessions from the index; of files only those of what is shown are looked at."""

from __future__ import annotations

from parsers.value import Value
from runner import artifacts, session_files
from runner.service import tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from runner.config import Config
    from runner.model import TaskState
    from runner.service.tasks import Now
    from runner.session_files import SessionFiles
    from runner.store.ledger import Ledger
    from runner.store.sessions import Row


class Listed(Value):
    """Hold one line of a listing; `waiting` is how many prompts wait for it."""

    row: Row
    state: TaskState
    repo: str | None
    files: SessionFiles
    waiting: int


def listing(
    states: Collection[TaskState],
    limit: int | None,
    now: Now,
    ledger: Ledger,
    settings: Config,
) -> list[Listed]:
    """Return the sessions that are in one of these states, the newest first."""
    home = settings.state_home
    found = tasks.newest(states, now, ledger, settings, limit)
    waiting = ledger.mail.counts()
    repos = ledger.sessions.repos(row.session_id for row, _ in found)
    return [
        Listed(
            row=row,
            state=state,
            repo=repos.get(row.session_id),
            files=session_files.placed(home, row.session_id, row.archived_in),
            waiting=waiting.get(row.session_id, 0),
        )
        for row, state in found
    ]


def strangers(ledger: Ledger, settings: Config) -> list[str]:
    """Name what lies among the sessions and is none that the index knows."""
    home = settings.state_home
    names = sorted(session_files.in_use(home) - ledger.sessions.ids())
    return [
        name
        for name in names
        # One that has been put away or removed meanwhile is no stranger.
        if artifacts.is_directory(home / name) and not ledger.is_source(home / name)
    ]
