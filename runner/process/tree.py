"""All that descends from one process, and how it is ended.

Gently first: INT, then TERM, then KILL. INT goes to Codex alone, which then notes the
abort in its rollout. TERM goes to all that is still there when Codex has gone or has
had its time, KILL to all that outlives the grace time. What a tool starts meanwhile is
found at the next step, because every orphan is adopted by the supervisor.
"""

from __future__ import annotations

import contextlib
import signal
import sys

from runner import clock
from runner.errors import RunnerError
from runner.process.signals import send
from runner.process.table import is_alive, process_of, read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.model import ProcessId
    from runner.process.table import Row

_LINUX = sys.platform == "linux"
# Codex writes its last words within milliseconds; a launcher that swallows INT
# must not use up the time that the tools need to obey TERM.
_INT_SHARE = 0.2
# After KILL only a process in an uninterruptible wait is still there.
_GIVE_UP_SHARE = 1.5


def below(*roots: int, without: Iterable[int] = ()) -> list[ProcessId]:
    """List the living descendants of some processes, parents before children.

    Args:
        roots: the pids whose descendants are wanted; they are not listed themselves.
        without: pids whose whole branches are left out.
    """
    children: dict[int, list[Row]] = {}
    for row in read_table():
        children.setdefault(row.parent, []).append(row)
    found: list[ProcessId] = []
    queue, left_out = list(roots), set(without)
    for parent in queue:
        for row in children.get(parent, ()):
            if row.pid in left_out:
                continue
            queue.append(row.pid)
            if not row.has_ended:
                found.append(process_of(row))
    return found


class DescendantTree:
    """Know all that descends from a process, also what its parent has left behind.

    Below a subreaper whatever loses its parent is below it again. Elsewhere an
    orphan goes to init: what was once seen below is remembered.
    """

    def __init__(self, root: ProcessId, *, remember: bool = not _LINUX) -> None:
        self._root = root
        self._remember = remember
        self._seen: set[ProcessId] = set()

    def look(self) -> None:
        """Remember who is there, where the kernel does not bring orphans back."""
        if self._remember:
            # A pid that has ended may be a stranger's by now, and so what is below it.
            known = [p.pid for p in (self._root, *self._seen) if is_alive(p)]
            self._seen.update(below(*known))

    def members(self, *, without: Iterable[int] = ()) -> list[ProcessId]:
        """List the living descendants, less the branches of some of them."""
        self.look()
        left_out = set(without)
        roots = [self._root.pid] if is_alive(self._root) else []
        found = below(*roots, without=left_out)
        strays = self._seen.difference(found)
        return found + [p for p in strays if p.pid not in left_out and is_alive(p)]


class Termination:
    """End one run, a step at a time.

    Args:
        codex: names the process that gets INT first, None when it has gone.
        members: lists all that belongs to the run and is alive.
        grace: seconds from INT to KILL.
    """

    def __init__(
        self,
        codex: Callable[[], ProcessId | None],
        members: Callable[[], list[ProcessId]],
        grace: float,
    ) -> None:
        self._codex = codex
        self._members = members
        self._grace = grace
        self._began = clock.monotonic()
        self._sent: set[ProcessId] = set()
        # A process that cannot be named or reached now gets TERM with all others.
        with contextlib.suppress(OSError, RunnerError):
            if (first := codex()) is not None:
                send(first, signal.SIGINT)

    def step(self) -> bool:
        """Send what is due; tell whether nothing is left, or nothing can be done."""
        members = self._members()
        if not members:
            return True
        passed = clock.monotonic() - self._began
        if passed >= self._grace:
            for member in members:
                send(member, signal.SIGKILL)
            return passed >= self._grace * _GIVE_UP_SHARE
        if passed >= self._grace * _INT_SHARE or self._codex() is None:
            for member in members:
                if member not in self._sent:
                    self._sent.add(member)
                    send(member, signal.SIGTERM)
        return False
