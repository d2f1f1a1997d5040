"""Send signals, wait for them, and reap children.

The one invariant: a signal is sent to a pid only after its start time was compared with
the recorded one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from functools import partial

from runner.process.table import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType
    from typing import Any

    from runner.model import ProcessId

    Handler = Callable[[int, FrameType | None], Any]

_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
# A suspended process receives these only after SIGCONT.
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def send(process: ProcessId, number: int) -> bool:
    """Send a signal to exactly this process; return whether it existed."""
    gone = contextlib.suppress(ProcessLookupError, PermissionError)
    with gone, contextlib.ExitStack() as at_the_end:
        tell: Callable[[int], None] = partial(os.kill, process.pid)
        if hasattr(os, "pidfd_open"):
            # The pidfd is opened first: the start time is then that of its process.
            handle = os.pidfd_open(process.pid)
            at_the_end.callback(os.close, handle)
            tell = partial(signal.pidfd_send_signal, handle)
        if is_alive(process):
            tell(number)
            if number in _HANDLED:
                tell(signal.SIGCONT)
            return True
    return False


def become_subreaper() -> None:
    """Adopt every orphan below this process (Linux; elsewhere nothing happens)."""
    if _LINUX:
        import ctypes  # noqa: PLC0415 - 3 ms, for the supervisor only

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_child(pid: int) -> None:
    """Kill a program that `start` has started and that is not reaped yet.

    Its pid cannot be reused yet, and it leads its group. So no look-up is needed, which
    could fail without a descriptor or memory.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def reap() -> Iterator[tuple[int, int]]:
    """Yield (pid, wait status) of every child, own or adopted, that has ended.

    If the system allows it, a child stays a zombie until the next iteration, so its pid
    is not reused while the caller handles its end.
    """
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with contextlib.suppress(ChildProcessError):
        while _LINUX and (info := os.waitid(os.P_ALL, 0, how)) is not None:
            has_exited = info.si_code == os.CLD_EXITED
            yield info.si_pid, info.si_status << 8 if has_exited else info.si_status
            with contextlib.suppress(ChildProcessError):
                os.waitpid(info.si_pid, os.WNOHANG)
        while not _LINUX and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


@contextlib.contextmanager
def blocked(numbers: Iterable[int]) -> Iterator[None]:
    """Block signals until the end of a block."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def handle(numbers: Iterable[int], handler: Handler) -> dict[int, Handler | int | None]:
    """Install a handler for signals, except ignored ones.

    Returns:
        The previous handler of each.
    """
    heard = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


@contextlib.contextmanager
def recorded(
    numbers: Iterable[int], when_told: Callable[[int], object] | None = None
) -> Iterator[Sequence[int]]:
    """Record signals instead of ending this process, until the end of a block.

    No exception is raised when a signal arrives, so the block always completes what it
    has started. `when_told` is called with each signal.
    """
    told: list[int] = []

    def note(number: int, _: object) -> None:
        told.append(number)
        if when_told is not None:
            when_told(number)

    before = handle(numbers, note)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class BackgroundInterrupt:
    """Distinguish an INT from a process from the Ctrl-C of a script's terminal.

    A shell starts background commands of a script with INT ignored, because a terminal
    sends INT to all commands of a script. An INT from a process stops the run.
    """

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        self._is_wanted = ignored and hasattr(signal, "sigtimedwait")
        if self._is_wanted:
            # A blocked signal stays pending even if it is ignored.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

    def was_sent(self) -> bool:
        """Return whether a process has sent INT since the last call."""
        if not self._is_wanted:
            return False
        while info := signal.sigtimedwait([signal.SIGINT], 0):
            if info.si_code <= 0:
                return True
        return False


class SignalInbox:
    """Collect signals instead of being ended by them, and wait for the next.

    Child programs get the default handlers of these signals.
    """

    def __init__(self, numbers: Iterable[int], *, deaf_to: Iterable[int] = ()) -> None:
        self._pending: list[int] = []
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (*numbers, signal.SIGCHLD):
            signal.signal(number, self._collect)
        for number in deaf_to:
            # Handled, not ignored: Codex would inherit an ignored signal.
            signal.signal(number, lambda *_: None)
        # Unblocked last: earlier signals are delivered to the handlers now.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def wait(self, seconds: float, *others: int) -> list[int]:
        """Return the signals that have arrived, after at most this many seconds.

        A child's end and data on one of the other descriptors end the wait too.
        """
        if not self._pending:
            select.select([self._read, *others], (), (), seconds)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass
        arrived, self._pending = self._pending, []
        return [number for number in arrived if number != signal.SIGCHLD]

    def _collect(self, number: int, _: object) -> None:
        self._pending.append(number)
