"""The descendants of a process, and their termination.

The signals are INT, then TERM, then KILL. INT goes only to Codex, which then records
the abort in its rollout. TERM goes to all processes that remain when Codex has exited
or two seconds have passed, KILL to all that remain after the grace time. New processes
are found at the next step, because the supervisor adopts every orphan.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from parsers.light import signal, suppress
from runner import clock
from runner.errors import RunnerError
from runner.process.signals import send
from runner.process.table import (
    has_child_lists,
    is_alive,
    listed_children,
    process_of,
    read_table,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.model import ProcessId
    from runner.process.table import Row

_LINUX = sys.platform == "linux"
# Codex writes its last records within milliseconds. A launcher that ignores INT must
# not use up the time that the tools need to handle TERM.
_INT_SHARE = 0.2
# After KILL only a process in an uninterruptible wait is still there.
_GIVE_UP_SHARE = 1.5
_WALKS = 10


def below(*roots: int, without: Iterable[int] = ()) -> list[ProcessId]:
    """List the living descendants of some processes, parents before children.

    Args:
        roots: the pids whose descendants are listed; they are not included.
        without: pids whose branches are left out.
    """
    walk = partial(_walk, roots=roots, left_out=set(without))
    if roots != (os.getpid(),) or not has_child_lists():
        table: dict[int, list[Row]] = {}
        for row in read_table():
            table.setdefault(row.parent, []).append(row)
        found = walk(lambda parent: table.get(parent, []))
    else:
        found = walk(listed_children)
        for _ in range(_WALKS):
            # When a parent ended after it was listed, its children are here by now.
            before, found = found, walk(listed_children)
            if [row.pid for row in before] == [row.pid for row in found]:
                break
    return [process_of(row) for row in found if not row.has_ended]


def _walk(
    children: Callable[[int], list[Row]], roots: Iterable[int], left_out: set[int]
) -> list[Row]:
    found: list[Row] = []
    queue = list(roots)
    for parent in queue:
        rows = [row for row in children(parent) if row.pid not in left_out]
        queue += [row.pid for row in rows]
        found += rows
    return found


class DescendantTree:
    """Track all descendants of a process, including orphans.

    A subreaper adopts orphans below it. On other systems an orphan goes to init, so the
    tree remembers the processes that it has seen.
    """

    def __init__(self, root: ProcessId, *, remember: bool = not _LINUX) -> None:
        self._root = root
        self._remember = remember
        self._seen: set[ProcessId] = set()

    def look(self) -> None:
        """Remember the descendants, on systems without subreapers."""
        if self._remember:
            # The pid of an ended process may be reused, so its children are not ours.
            known = [p.pid for p in (self._root, *self._seen) if is_alive(p)]
            self._seen.update(below(*known))

    def members(self, *, without: Iterable[int] = ()) -> list[ProcessId]:
        """List the living descendants, without the branches of some of them."""
        self.look()
        left_out = set(without)
        roots = [self._root.pid] if is_alive(self._root) else []
        found = below(*roots, without=left_out)
        strays = self._seen.difference(found)
        return found + [p for p in strays if p.pid not in left_out and is_alive(p)]


class Termination:
    """End one run, a step at a time.

    Args:
        codex: returns the process that gets INT first, None when it has exited.
        members: lists all living processes of the run.
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
        # A process that cannot be signalled now gets TERM with the others.
        with suppress(OSError, RunnerError):
            if (first := codex()) is not None:
                send(first, signal.SIGINT)

    def step(self) -> bool:
        """Send the next signal; return whether no process is left or can be ended."""
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
