"""Send signals, wait for them, and reap children.

The one invariant: a signal is sent to a pid only after its start time was compared with
the recorded one.
"""

from __future__ import annotations

import os
import sys
from functools import cache, partial

from parsers.light import ExitStack, contextmanager, signal, suppress
from runner.process import libc
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
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# What a detached process blocks and waits for. HUP and QUIT are not meant for it.
WAITED = (
    *(*_STOPS, signal.SIGCHLD, signal.SIGIO),
    *(signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM),
)
# A program that inherited them blocked or ignored would be deaf to them. Python ignores
# the last two.
DEFAULTS = (*WAITED, signal.SIGPIPE, signal.SIGXFSZ)
_SHORTEST_SECONDS = 1e-6
_NOTES_BYTES = 4096


def send(process: ProcessId, number: int) -> bool:
    """Send a signal to exactly this process; return whether it existed."""
    gone = suppress(ProcessLookupError, PermissionError)
    with gone, ExitStack() as at_the_end:
        tell: Callable[[int], None] = partial(os.kill, process.pid)
        if hasattr(os, "pidfd_open"):
            # The pidfd is opened first: the start time is then that of its process.
            handle = os.pidfd_open(process.pid)
            at_the_end.callback(os.close, handle)
            tell = partial(signal.pidfd_send_signal, handle)
        if is_alive(process):
            tell(number)
            if number in _STOPS:  # a suspended process receives them only after CONT
                tell(signal.SIGCONT)
            return True
    return False


def become_subreaper() -> None:
    """Adopt every orphan below this process (Linux; elsewhere nothing happens)."""
    if _LINUX:
        with suppress(OSError):
            libc.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def name_of(number: int) -> str:
    """Return the name of a signal, such as SIGTERM."""
    import signal as named  # noqa: PLC0415 - its names take 3 ms

    try:
        return named.Signals(number).name
    except ValueError:
        return f"signal {number}"


def kill_child(pid: int) -> None:
    """Kill a program that `start` has started and that is not reaped yet.

    Its pid cannot be reused yet, and it leads its group. So no look-up is needed, which
    could fail without a descriptor or memory.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def reap() -> Iterator[tuple[int, int]]:
    """Yield (pid, wait status) of every child, own or adopted, that has ended.

    If the system allows it, a child stays a zombie until the next iteration, so its pid
    is not reused while the caller handles its end.
    """
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with suppress(ChildProcessError):
        while _LINUX and (info := os.waitid(os.P_ALL, 0, how)) is not None:
            has_exited = info.si_code == os.CLD_EXITED
            yield info.si_pid, info.si_status << 8 if has_exited else info.si_status
            with suppress(ChildProcessError):
                os.waitpid(info.si_pid, os.WNOHANG)
        while not _LINUX and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


@contextmanager
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


def suspend() -> None:
    """Stop this process as Ctrl-Z does; return when it continues."""
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)


def arrivals() -> int:
    """Return a descriptor that can be read once a handled signal comes.

    Handlers run between two steps of Python. A signal that comes after the last step
    before a wait would not end that wait.
    """
    with suppress(BlockingIOError):
        os.read(_wakeup(), _NOTES_BYTES)
    return _wakeup()


@cache
def _wakeup() -> int:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(ends[1], warn_on_full_buffer=False)
    return ends[0]


def forget_arrivals() -> None:
    """Forget the descriptor of `arrivals`, which a copy of this process has closed."""
    signal.set_wakeup_fd(-1)
    _wakeup.cache_clear()


@contextmanager
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
        self.is_wanted = ignored and hasattr(signal, "sigtimedwait")
        if self.is_wanted:
            # A blocked signal stays pending even if it is ignored.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

    def was_sent(self) -> bool:
        """Return whether a process has sent INT since the last call."""
        if not self.is_wanted:
            return False
        while info := signal.sigtimedwait([signal.SIGINT], 0):
            if info.si_code <= 0:
                return True
        return False


class SignalInbox:
    """Wait for signals that are blocked: stop signals, ended children, growing files.

    There are no handlers, so a signal that comes between two waits is taken by the
    next one. `runner.process.fork` blocks the signals before this process exists, and
    programs that it starts get them unblocked.
    """

    def wait(self, seconds: float | None) -> list[int]:
        """Wait for a signal, at most this many seconds; return all stop signals."""
        arrived: list[int] = []
        while number := _next(seconds):
            arrived.append(number)
            seconds = 0
        return [number for number in arrived if number in _STOPS]


def _next(seconds: float | None) -> int | None:
    """Take one of the signals of `WAITED`; None when there was none in that time."""
    if seconds is None:
        return signal.sigwait(WAITED)
    if hasattr(signal, "sigtimedwait"):
        info = signal.sigtimedwait(WAITED, seconds)
        return info.si_signo if info else None
    # macOS: an alarm ends the wait.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, _SHORTEST_SECONDS))
    number = signal.sigwait({*WAITED, signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, 0)
    return None if number == signal.SIGALRM else number
