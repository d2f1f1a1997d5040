"""No process is missed in a table that is read while processes come and go."""

import errno
import os
from collections.abc import Iterable
from typing import NoReturn, TypeVar

import pytest

from runner.errors import FileFault
from runner.process import table, tree
from runner.process.table import Row, exists, is_alive, this_process
from runner.process.tree import below

T = TypeVar("T")
ROOT, PARENT, MIDDLE, CHILD = 10, 20, 30, 40


class Kernel:
    """Plays a table that changes between two looks.

    Args:
        listings: which pids are listed, one look after the other; the last one stays.
        rows: what is read of a pid, one look after the other; None is gone.
    """

    def __init__(
        self, listings: Iterable[set[int]], rows: dict[int, list[Row | None]]
    ) -> None:
        self._listings = list(listings)
        self._rows = rows

    def pids(self) -> set[int]:
        return self._next(self._listings)

    def row(self, pid: int) -> Row | None:
        return self._next(self._rows[pid])

    @staticmethod
    def _next(looks: list[T]) -> T:
        return looks.pop(0) if len(looks) > 1 else looks[0]


def row(pid: int, parent: int) -> Row:
    return Row(pid=pid, parent=parent, start_time=pid, has_ended=False)


def below_root(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> list[int]:
    monkeypatch.setattr(table, "_pids", kernel.pids)
    monkeypatch.setattr(table, "_row", kernel.row)
    return [each.pid for each in below(ROOT)]


def test_a_child_that_comes_after_the_listing_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(
        listings=[{ROOT, PARENT}, {ROOT, MIDDLE}, {ROOT, CHILD}],
        rows={
            ROOT: [row(ROOT, 1)],
            PARENT: [None],
            MIDDLE: [None],
            CHILD: [row(CHILD, ROOT)],
        },
    )

    assert below_root(monkeypatch, kernel) == [CHILD]


def test_a_child_whose_parent_goes_while_they_are_read_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(
        listings=[{ROOT, MIDDLE, CHILD}],
        rows={
            ROOT: [row(ROOT, 1)],
            MIDDLE: [row(MIDDLE, CHILD), row(MIDDLE, ROOT)],
            CHILD: [None],
        },
    )

    assert below_root(monkeypatch, kernel) == [MIDDLE]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_who_cannot_look_takes_nobody_for_gone(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    here = this_process()

    def refuse(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(table, "open", refuse, raising=False)

    with pytest.raises(FileFault, match=os.strerror(number)):
        is_alive(here)
    with pytest.raises(FileFault, match=os.strerror(number)):
        exists(here.pid)


def test_who_may_not_look_at_a_process_does_not_see_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(table, "open", refuse, raising=False)

    assert not exists(os.getpid())


def ended(row: Row) -> Row:
    return Row(pid=row.pid, parent=row.parent, start_time=1, has_ended=True)


def test_a_child_of_one_that_ends_while_it_is_looked_at_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is listed nowhere at first: its parent ends between the two lists."""
    own = os.getpid()
    parent, child = (
        Row(pid=pid, parent=own, start_time=1, has_ended=False)
        for pid in (PARENT, CHILD)
    )
    lists: dict[int, list[list[Row]]] = {
        own: [[parent], [ended(parent), child]],
        PARENT: [[]],
        CHILD: [[]],
    }

    def listed(pid: int) -> list[Row]:
        looks = lists[pid]
        return looks.pop(0) if len(looks) > 1 else looks[0]

    monkeypatch.setattr(tree, "has_child_lists", lambda: True)
    monkeypatch.setattr(tree, "listed_children", listed)

    assert [each.pid for each in below(own)] == [CHILD]
    assert [each.pid for each in below(own, without=[CHILD])] == []
