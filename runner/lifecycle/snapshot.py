"""What the user's files are like at the beginning and at the end of a run: pure git.

A line of JSON for each end in the file `snapshot` of the run's own directory: HEAD, the
tree of the tracked files, the untracked ones by name, size and time. The objects that
the repository lacks are beside it.
"""

from __future__ import annotations

import os

from parsers import json_text, loose_json
from parsers.paths import Path
from parsers.struct import Struct, as_dict
from runner import clock, files
from runner.errors import RunnerError
from runner.git import git_in, tree_of
from runner.ledger.record import read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# A run waits no longer for it.
SECONDS = 0.5
BEGIN, END = "begin", "end"
_FILE = "snapshot"
_STATUS = (
    *("status", "--porcelain=v2", "--branch", "-z", "--no-renames"),
    *("--untracked-files=all", "--ignore-submodules=dirty"),
)
_NO_COMMIT = "(initial)"
_LOOKS = 1000


class Snapshot(Struct):
    """Hold the state of the files below `top` at an instant.

    `tree` is a commit or a tree, `head` the commit that was checked out. `untracked`
    has the size and the time of each file that is neither tracked nor ignored.
    """

    top: str
    at: str
    tree: str
    head: str | None = None
    untracked: tuple[str, ...] = ()


def repository_of(directory: str) -> str | None:
    """Return the top directory of a working tree of git; None outside of one."""
    path = Path(directory)
    for place in (path, *path.parents):
        if os.path.lexists(place / ".git"):
            return str(place)
    return None


def take(
    top: str, place: Path, environment: Mapping[str, str], seconds: float = SECONDS
) -> Snapshot:
    """Look at the files of a working tree; `place` gets new objects of git.

    Raises:
        RunnerError, OSError: they cannot be looked at, or not in this time.
    """
    git, at = git_in(top, environment, seconds, is_light=True), clock.iso(clock.now())
    head, untracked, is_changed = None, list[str](), False
    for each in git.names(*_STATUS):
        match each.partition(" "):
            case "#", _, told:
                name, _, value = told.partition(" ")
                if name == "branch.oid" and value != _NO_COMMIT:
                    head = value
            case "?", _, name:
                untracked.append(name)
            case _:
                is_changed = True
    is_plain = head is not None and not is_changed
    tree = head if is_plain and head else tree_of(git, place, "-u")
    seen = _seen(top, untracked, git.deadline)
    return Snapshot(top=top, at=at, tree=tree, head=head, untracked=seen)


def record(which: str, top: str, place: Path, environment: Mapping[str, str]) -> bytes:
    """Append the snapshot of one end of a run to its file, or why there is none."""
    try:
        told = as_dict(take(top, place, environment))
    except (RunnerError, OSError) as error:
        told = {"error": str(error)}
    line = json_text.dumps({which: told}, separators=(",", ":"))
    files.append(place / _FILE, f"{line}\n".encode())
    return b""


def read(which: str, place: Path) -> Snapshot | str | None:
    """Read the snapshot of one end of a run, why there is none, or None."""
    for line in files.read_if_there(place / _FILE).splitlines():
        try:
            told = loose_json.mapping(json_text.loads(line)).get(which)
            if isinstance(told, dict):
                why = loose_json.text(told.get("error"))
                return why or read_value(Snapshot, told)
        except (ValueError, KeyError, TypeError):
            continue
    return None


def _seen(top: str, names: list[str], deadline: float) -> tuple[str, ...]:
    """Return files with their size and time, as texts: `size time name`."""
    found = []
    for number, name in enumerate(names):
        if number % _LOOKS == 0 and clock.monotonic() > deadline:
            message = "looking at untracked files takes too long"
            raise TimeoutError(message)
        status = files.status(Path(top) / name)
        if status is not None:
            found.append(f"{status.st_size} {status.st_mtime_ns} {name}")
    return tuple(found)
