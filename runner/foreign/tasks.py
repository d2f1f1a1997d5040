"""Read the task directories of the old `codex-tasks`, archived ones too.

    <root>/<thread id>/task.json task.log task.result task.pid [task.pipe]
    <root>/archive/YYYY/MM/DD/<thread id>/…

A stored state is its tool's word and may be stale: the log is asked first, and a task
whose process still exists is left alone.
"""

from __future__ import annotations

from contextlib import suppress

from parsers import loose_json
from parsers.text import uuid
from runner import files
from runner.foreign import sources
from runner.foreign.history import Unreadable
from runner.foreign.taskhistory import history_of
from runner.foreign.taskrecord import Record
from runner.process.table import exists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import Final

    from runner.foreign.history import History

RECORD: Final = "task.json"
ARCHIVE: Final = "archive"
_LARGEST_PID: Final = 1 << 31
_BUCKETS_DEEP: Final = 3
# What stands in such a root besides, of the old tool's making and of ours.
_NOT_TASKS: Final = (ARCHIVE, "locks", "prices.toml", "codex-versions.json")
_INDEX: Final = "runs.db"
_MAY_RUN: Final = ("RUNNING", "DIED", "IDLE")


def read_tasks(root: Path) -> Iterator[History | Unreadable]:
    """Read all tasks of a root, the archived ones last; our own are left out."""
    yield from _read_directory(root, is_archive=False, depth=0)
    if files.is_directory(root / ARCHIVE):
        yield from _read_directory(root / ARCHIVE, is_archive=True, depth=0)


def read_task(
    directory: Path, *, is_archived: bool = False
) -> Iterator[History | Unreadable]:
    """Read one task; nothing comes of one that is our own."""
    try:
        fields = sources.load(directory / RECORD)
    except OSError as error:
        yield Unreadable(directory, f"{RECORD}: {sources.why(error)}")
        return
    if isinstance(fields.get("runs"), list):
        return
    if (reason := _refusal(directory, fields)) is not None:
        yield Unreadable(directory, reason)
        return
    try:
        yield history_of(Record(directory, fields, is_archived))
    except sources.UNREADABLE as error:
        yield Unreadable(directory, f"task.log: {sources.why(error)}")


def is_our_own(name: str) -> bool:
    """Tell what no task is: things of ours, and the leftovers of the old tool."""
    return name in _NOT_TASKS or name.startswith((".", _INDEX))


def is_tasks_root(directory: Path, names: Iterable[str]) -> bool:
    """Tell a root of tasks by what is in it."""
    if _INDEX in names:
        return True
    tasks = (name for name in names if name == ARCHIVE or uuid(name))
    return any(files.is_directory(directory / name) for name in tasks)


def _read_directory(
    directory: Path, *, is_archive: bool, depth: int
) -> Iterator[History | Unreadable]:
    try:
        names = sources.names(directory)
    except OSError as error:
        yield Unreadable(directory, sources.why(error))
        return
    for name in names:
        path = directory / name
        if is_our_own(name):
            continue
        if is_archive and _is_bucket(path, depth):
            yield from _read_directory(path, is_archive=True, depth=depth + 1)
        elif uuid(name) is None:
            if files.is_directory(path):
                yield Unreadable(path, "not a task directory")
        else:
            yield from read_task(path, is_archived=is_archive)


def _is_bucket(path: Path, depth: int) -> bool:
    is_one = depth < _BUCKETS_DEEP and path.name.isdigit()
    return is_one and files.is_directory(path)


def _refusal(directory: Path, fields: Mapping[str, object]) -> str | None:
    # A directory may have been given as `.`, or through a link.
    if fields.get("id") not in (directory.name, directory.resolve().name):
        return "its task.json is another task's"
    pid = _living_pid(directory / "task.pid")
    if pid is not None and fields.get("state") in _MAY_RUN:
        return f"it seems to be running (pid {pid}): import it when it has ended"
    return None


def _living_pid(path: Path) -> int | None:
    with suppress(OSError):
        pid = loose_json.integer(sources.content(path).decode("ascii", "replace"))
        if pid is not None and 0 < pid < _LARGEST_PID and exists(pid):
            return pid
    return None
