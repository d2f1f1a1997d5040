"""Finds, names and ends what a test has left running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.processes import (
    command_line,
    is_alive,
    kill,
    processes_with,
    wait_until,
)

MARKER = "CODEX_RUNNER_TEST"
GRACE_SECONDS = 10.0


@contextmanager
def no_process_left(
    marker: str,
    grace: float = GRACE_SECONDS,
    others: Callable[[], list[int]] = list,
) -> Iterator[None]:
    """Fail when a process with this marker, or another, outlives the block, and end it.

    The marker is a variable in the environment that everything inherits, so a process
    in a session of its own, or one that has lost its parents, is found as well.
    """
    yield

    def alive() -> list[int]:
        return [*processes_with(MARKER, marker), *others()]

    left = _left_behind(alive, grace)
    names = [f"{pid} {command_line(pid)}" for pid in left]
    for pid in left:
        kill(pid)
    if left:
        wait_until(lambda: not any(map(is_alive, left)), what="the end of leftovers")
        pytest.fail("processes were left behind:\n" + "\n".join(names))


def _left_behind(alive: Callable[[], list[int]], grace: float) -> list[int]:
    """List the processes that do not end by themselves within the grace."""
    try:
        wait_until(lambda: not alive(), grace)
    except AssertionError:
        return alive()
    return []
