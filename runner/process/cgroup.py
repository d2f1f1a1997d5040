"""A control group for each run, if the user may create one (Linux, cgroup v2).

All processes of a run stay in its group, even if they leave the process tree and drop
the run's marker from their environment.
"""

from __future__ import annotations

import os

from parsers.light import contextmanager, suppress
from parsers.paths import Path
from runner.process.table import identify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model import ProcessId

_MOUNTS = Path("/proc/self/mounts")
_OWN = Path("/proc/self/cgroup")
_PREFIX, _MEMBERS = "codex-run-", "cgroup.procs"


@contextmanager
def entered(run_id: str) -> Iterator[None]:
    """Start the programs of a block in a control group of the run, if possible.

    This process enters the group, so that a program is in the group from its first
    instruction, and leaves it at the end of the block.
    """
    home = _own_group()
    try:
        if home is not None:
            (home / f"{_PREFIX}{run_id}").mkdir(exist_ok=True)
            _enter(home / f"{_PREFIX}{run_id}")
    except OSError:
        home = None
    try:
        yield
    finally:
        if home is not None:
            with suppress(OSError):
                _enter(home)


def is_possible() -> bool:
    """Return whether this user may create control groups here."""
    return _own_group() is not None


def by_run() -> dict[str, list[ProcessId]]:
    """Return the living processes in control groups of runs, by run.

    Another login session may have created a group, so all groups are searched.
    """
    found: dict[str, list[ProcessId]] = {}
    for place, names, _ in os.walk(_root() or os.devnull):
        for name in names:
            if name.startswith(_PREFIX):
                with suppress(OSError):
                    pids = Path(place, name, _MEMBERS).read_text(encoding="ascii")
                    members = filter(None, map(identify, map(int, pids.split())))
                    found[name.removeprefix(_PREFIX)] = list(members)
    return found


def remove(run_id: str) -> None:
    """Remove the control group of a run, unless it still has processes."""
    with suppress(OSError):
        if (home := _own_group()) is not None:
            (home / f"{_PREFIX}{run_id}").rmdir()


def _root() -> Path | None:
    """Return the mount point of cgroup v2; None if it is not mounted."""
    with suppress(OSError):
        for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
            _, place, kind, *_ = line.split(" ")
            if kind == "cgroup2":
                return Path(place)
    return None


def _own_group() -> Path | None:
    """Return this process's control group, if this user may create groups in it."""
    root = _root()
    with suppress(OSError):
        for line in _OWN.read_text(encoding="utf-8").splitlines() if root else ():
            number, _, path = line.split(":", 2)
            if number == "0" and root and os.access(root / path.lstrip("/"), os.W_OK):
                return root / path.lstrip("/")
    return None


def _enter(group: Path) -> None:
    (group / _MEMBERS).write_text(str(os.getpid()), encoding="ascii")
