"""All that descends from one process."""

from __future__ import annotations

import sys

from runner.process.table import identify, is_alive, process_of, read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from runner.model import ProcessId
    from runner.process.table import Row

_LINUX = sys.platform == "linux"


def below(root: int, *, without: Iterable[int] = ()) -> list[ProcessId]:
    """List the living descendants of a process, parents before children.

    Args:
        root: the pid whose descendants are wanted; it is not listed itself.
        without: pids whose whole branches are left out.
    """
    return _below([root], set(without))


def _below(roots: list[int], left_out: Collection[int] = ()) -> list[ProcessId]:
    children: dict[int, list[Row]] = {}
    for row in read_table():
        children.setdefault(row.parent, []).append(row)
    found: list[ProcessId] = []
    queue = list(roots)
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

    def __init__(self, root: int, *, remember: bool = not _LINUX) -> None:
        self._root = identify(root)
        self._remember = remember
        self._seen: set[ProcessId] = set()

    def look(self) -> None:
        """Remember who is there, where the kernel does not bring orphans back."""
        if self._remember:
            # A pid that has ended may be a stranger's by now, and so what is below it.
            known = [p for p in (self._root, *self._seen) if p and is_alive(p)]
            self._seen.update(_below([p.pid for p in known]))

    def members(self, *, without: Iterable[int] = ()) -> list[ProcessId]:
        """List the living descendants, less the branches of some of them."""
        self.look()
        left_out = set(without)
        is_there = self._root is not None and is_alive(self._root)
        found = _below([self._root.pid] if self._root and is_there else [], left_out)
        strays = self._seen.difference(found)
        return found + [p for p in strays if p.pid not in left_out and is_alive(p)]
