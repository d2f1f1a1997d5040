"""Read the runs of Codex that other tools have recorded.

A source is never changed, no content of a file raises, and unreadable sources are
named.
"""

from __future__ import annotations

from parsers.text import uuid
from runner import files
from runner.foreign.bash_runs import is_bash_meta, read_bash_runs
from runner.foreign.rollouts import SESSIONS, read_rollout, read_turn
from runner.foreign.tasks import ARCHIVE, RECORD, read_task, read_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from parsers.paths import Path

    Format = Literal["task", "tasks", "bash", "rollouts"]

_LEVELS = 3  # year, month, day
# The archive of older tasks, and the ledgers of this suite.
_OF_A_ROOT = (ARCHIVE, "ledger.db", "runs.db")

__all__ = [
    "formats_of",
    "home_of",
    "read_bash_runs",
    "read_rollout",
    "read_task",
    "read_tasks",
    "read_turn",
    "tops_of",
]


def formats_of(place: Path) -> list[Format]:
    """Return the formats of a directory, the most detailed one first; of a file, too.

    One task, a root of tasks, the log directory of the bash runner, a CODEX_HOME or
    another folder of rollouts: a directory may have several of these formats, or none.

    Raises:
        OSError: it cannot be listed.
    """
    if files.is_regular(place):
        return ["rollouts"]
    names = sorted(path.name for path in place.iterdir())
    if (place / RECORD).is_file():
        return ["task"]
    found: dict[Format, bool] = {
        "tasks": any(name in _OF_A_ROOT or uuid(name) for name in names),
        "bash": any(map(is_bash_meta, names)),
        "rollouts": bool(tops_of(place)),
    }
    return [name for name, is_there in found.items() if is_there]


def home_of(place: Path) -> Path:
    """Return the Codex home that a directory or a file is in; else that directory."""
    if not any(files.is_directory(place / top) for top in SESSIONS):
        for path in (place, *place.parents):
            if path.name in SESSIONS:
                return path.parent
    return place if files.is_directory(place) else place.parent


def tops_of(place: Path) -> list[Path]:
    """Return the directories that a Codex home or another folder has rollouts below.

    A folder that is no home is searched only below its years, months and days.
    """
    tops = [place / top for top in SESSIONS if files.is_directory(place / top)]
    return tops or [place] * _has_rollouts(place)


def _has_rollouts(directory: Path, levels: int = _LEVELS) -> bool:
    return any(
        name.startswith("rollout-")
        or (levels and name.isdigit() and _has_rollouts(directory / name, levels - 1))
        for name in files.names(directory)
    )
