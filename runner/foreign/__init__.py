"""Read what other tools have left of their runs of Codex.

Pure reading: a source is never changed, nothing that a file holds raises, and what
cannot be read is named.
"""

from __future__ import annotations

from parsers.text import uuid
from runner import files
from runner.foreign.bash_runs import is_bash_meta, read_bash_runs
from runner.foreign.rollouts import SESSIONS, read_rollout
from runner.foreign.tasks import ARCHIVE, RECORD, read_task, read_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    Format = Literal["task", "tasks", "bash", "rollouts"]

# An archive of older tasks, and the ledgers of this suite.
_OF_A_ROOT = (ARCHIVE, "ledger.db", "runs.db")

__all__ = ["formats_of", "read_bash_runs", "read_rollout", "read_task", "read_tasks"]


def formats_of(directory: Path) -> list[Format]:
    """Tell what a directory holds, the format that tells most of a session first.

    One task, a root of tasks, the log directory of the bash runner, a CODEX_HOME: it
    may be several of them, and none when nothing in it is known.

    Raises:
        OSError: it cannot be listed.
    """
    names = sorted(path.name for path in directory.iterdir())
    if RECORD in names:
        return ["task"]
    found: dict[Format, bool] = {
        "tasks": any(name in _OF_A_ROOT or uuid(name) for name in names),
        "bash": any(map(is_bash_meta, names)),
        "rollouts": any(files.is_directory(directory / top) for top in SESSIONS),
    }
    return [name for name, is_there in found.items() if is_there]
