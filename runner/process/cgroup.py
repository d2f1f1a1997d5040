"""A control group for each run, where the user may make one (Linux, cgroup v2).

Whatever a run starts stays in its group, also what has left the process tree and
dropped the run's marker from its environment.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from runner.process.table import identify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model import ProcessId

_MOUNTS = Path("/proc/self/mounts")
_OWN = Path("/proc/self/cgroup")
_PREFIX, _MEMBERS = "codex-run-", "cgroup.procs"


@contextlib.contextmanager
def entered(run_id: str) -> Iterator[None]:
    """Start what a block starts in a control group of the run, if that can be made.

    This process enters the group, so that the program which it starts is in it from
    its first instruction, and leaves it at the end of the block.
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
            with contextlib.suppress(OSError):
                _enter(home)


def is_possible() -> bool:
    """Return whether this user may make control groups here."""
    return _own_group() is not None


def by_run() -> dict[str, list[ProcessId]]:
    """Group the living processes that are in the control group of a run by that run.

    Another login session may have made a group, so all are looked through.
    """
    found: dict[str, list[ProcessId]] = {}
    for place, names, _ in os.walk(_root() or os.devnull):
        for name in names:
            if name.startswith(_PREFIX):
                with contextlib.suppress(OSError):
                    pids = Path(place, name, _MEMBERS).read_text(encoding="ascii")
                    members = filter(None, map(identify, map(int, pids.split())))
                    found[name.removeprefix(_PREFIX)] = list(members)
    return found


def remove(run_id: str) -> None:
    """Remove the control group of a run, unless processes are left in it."""
    with contextlib.suppress(OSError):
        if (home := _own_group()) is not None:
            (home / f"{_PREFIX}{run_id}").rmdir()


def _root() -> Path | None:
    """Name the directory where cgroup v2 is mounted; None where it is not."""
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
            _, place, kind, *_ = line.split(" ")
            if kind == "cgroup2":
                return Path(place)
    return None


def _own_group() -> Path | None:
    """Name the control group of this process, if this user may make others in it."""
    root = _root()
    with contextlib.suppress(OSError):
        for line in _OWN.read_text(encoding="utf-8").splitlines() if root else ():
            number, _, path = line.split(":", 2)
            if number == "0" and root and os.access(root / path.lstrip("/"), os.W_OK):
                return root / path.lstrip("/")
    return None


def _enter(group: Path) -> None:
    (group / _MEMBERS).write_text(str(os.getpid()), encoding="ascii")
