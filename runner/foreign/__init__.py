"""Read what other tools have left behind of their runs of Codex.

Pure reading: a source is never changed, nothing that a file holds raises, and what
cannot be read is said so.
"""

from __future__ import annotations

from runner import files
from runner.foreign import sources
from runner.foreign.bash_runs import is_bash_meta, read_bash_runs
from runner.foreign.rollouts import SESSIONS, read_rollouts
from runner.foreign.tasks import RECORD, is_tasks_root, read_task, read_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.foreign.history import History, Unreadable

    Reader = Callable[[Path], Iterator[History | Unreadable]]

__all__ = [
    "NOTHING",
    "read_bash_runs",
    "read_rollouts",
    "read_task",
    "read_tasks",
    "readers_of",
]

NOTHING = "nothing in it is known to come from Codex"


def readers_of(directory: Path) -> list[Reader]:
    """Tell how a directory can be read; in no way if nothing in it is known.

    One task, a root of tasks, the log directory of the bash runner, a CODEX_HOME: it
    may be several of them.

    Raises:
        OSError: it cannot be listed.
    """
    names = sources.names(directory)
    if RECORD in names:
        return [read_task]
    readers: dict[Reader, bool] = {
        read_bash_runs: any(map(is_bash_meta, names)),
        read_rollouts: any(files.is_directory(directory / top) for top in SESSIONS),
        read_tasks: is_tasks_root(directory, names),
    }
    return [read for read, is_asked in readers.items() if is_asked]
