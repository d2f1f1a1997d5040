"""What copies of a supervisor do beside its work, with answers through pipes."""

from __future__ import annotations

import os
import select

from parsers.light import signal, suppress
from runner import clock
from runner.errors import RunnerError
from runner.process.fork import detach
from runner.process.signals import kill_child, send
from runner.process.tree import below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.ledger.ledger import Ledger

_PIECE = 1 << 16


class Beside:
    """Start copies of this process, which know what it knows and may load more.

    `pids` are those that no one has waited for.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.pids: set[int] = set()

    def start(self, work: Callable[[], bytes]) -> Task:
        """Start some work, whose answer can be fetched.

        Raises:
            OSError: the kernel cannot start a process.
        """
        self._ledger.close()  # a copy must not inherit its locks
        pid, answer = detach(lambda pipe: os.write(pipe, work()))
        self.pids.add(pid)
        return Task(pid, answer)


class Task:
    """The work of one copy."""

    def __init__(self, pid: int, answer: int) -> None:
        self.pid, self._answer = pid, answer

    def answer(self, seconds: float) -> bytes | None:
        """Wait for the answer and return it; None, and end the work, when it is late.

        Can be called once.
        """
        deadline, told = clock.monotonic() + seconds, b""
        poll = select.poll()
        poll.register(self._answer, select.POLLIN)
        try:
            while poll.poll(max(0.0, deadline - clock.monotonic()) * 1000):
                piece = os.read(self._answer, _PIECE)
                if not piece:
                    return told
                told += piece
            self.end()
            return None
        finally:
            os.close(self._answer)

    def end(self) -> None:
        """End the work, with the programs that it has started."""
        with suppress(OSError, RunnerError):
            for process in below(self.pid):
                send(process, signal.SIGKILL)
        kill_child(self.pid)
