"""Own processes and signals: start, signal, wait for signals, reap.

The one invariant: no signal is ever sent to a pid whose start time was not just
seen to be the one on record.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

from parsers.value import Value
from runner import clock, proctable
from runner.errors import RunnerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import FrameType
    from typing import Any

    from runner.model import ProcessId

    Handler = Callable[[int, FrameType | None], Any]

_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
_DEVNULL = -3  # subprocess.DEVNULL, which is not loaded yet
_PACE_SECONDS = 0.02
_GRACE_SECONDS = 5.0


class Launch(Value):
    """Hold what a program is started with.

    `stdin`, `stdout` and `stderr` are open file descriptors, None is /dev/null;
    `keep` are others that it inherits. `blocked` signals wait until the program asks
    for them: one that comes before its handlers are set would end it.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: str | None = None
    umask: int = -1
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    keep: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()


def send(process: ProcessId, number: int) -> bool:
    """Send a signal to exactly this process; tell whether it was there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "pidfd_open"):
            # The handle is taken first: what is identified then is what it points to.
            handle = os.pidfd_open(process.pid)
            try:
                if proctable.is_alive(process):
                    signal.pidfd_send_signal(handle, number)
                    return True
            finally:
                os.close(handle)
        elif proctable.is_alive(process):
            os.kill(process.pid, number)
            return True
    return False


def become_subreaper() -> None:
    """Adopt every orphan below this process (Linux; elsewhere nothing happens)."""
    if _LINUX:
        import ctypes  # noqa: PLC0415 - 3 ms, for the supervisor only

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(launch: Launch) -> int:
    """Start a program in a session of its own and return its pid.

    Its end is told by `reap` alone.

    Raises:
        OSError: as the kernel says why it cannot be started.
    """
    import subprocess  # noqa: PLC0415 - 4 ms, not before a run's id is out

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, launch.blocked)
    try:
        child = subprocess.Popen(
            launch.argv,
            stdin=_or_null(launch.stdin),
            stdout=_or_null(launch.stdout),
            stderr=_or_null(launch.stderr),
            env=dict(launch.environment),
            cwd=launch.cwd,
            umask=launch.umask,
            pass_fds=launch.keep,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # The object would wait for its pid when it is dropped and take the status
    # away from `reap`: it is told that there is nothing to wait for.
    child.returncode = 0
    return child.pid


def kill_child(pid: int) -> None:
    """End a program that `start` has started and nobody has reaped, at once.

    Its pid is nobody else's yet, and it leads its group: nothing has to be looked up,
    for which a descriptor or memory might be missing.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def reap() -> Iterator[tuple[int, int]]:
    """Yield (pid, wait status) of every child, own or adopted, that has ended.

    Where the system allows it a child stays a zombie until the next is asked for: while
    its end is dealt with, nobody else can know of it and go on.
    """
    while (ended := _ended_child()) is not None:
        pid, status = ended
        yield pid, status
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _ended_child() -> tuple[int, int] | None:
    try:
        if not _LINUX:
            pid, status = os.waitpid(-1, os.WNOHANG)
            return (pid, status) if pid else None
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        info = os.waitid(os.P_ALL, 0, how)
    except ChildProcessError:
        return None
    if info is None:
        return None
    has_exited = info.si_code == os.CLD_EXITED
    return info.si_pid, info.si_status << 8 if has_exited else info.si_status


@contextlib.contextmanager
def held_back(numbers: Iterable[int]) -> Iterator[None]:
    """Let signals wait until the end of a block."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def heed(numbers: Iterable[int], handler: Handler) -> dict[int, Handler | int | None]:
    """Let a handler have signals from now on; those this process is deaf to stay so.

    Returns:
        What was in its place for each.
    """
    heard = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


@contextlib.contextmanager
def noted(
    numbers: Iterable[int], when_told: Callable[[int], object] | None = None
) -> Iterator[Sequence[int]]:
    """Note the signals that would end this process, until the end of a block.

    No exception is raised where one comes: nothing that has just been started, or is
    being removed, is lost to it.

    Args:
        numbers: the signals.
        when_told: what is called with each that comes.
    """
    told: list[int] = []

    def note(number: int, _: object) -> None:
        told.append(number)
        if when_told is not None:
            when_told(number)

    before = heed(numbers, note)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class SparedInterrupt:
    """Tell an INT that was sent on purpose from the Ctrl-C that a script got.

    A script's background command is started deaf to INT, because a terminal sends it
    to all of a script's commands. An INT that some process sends is meant.
    """

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        self._is_wanted = ignored and hasattr(signal, "sigtimedwait")
        if self._is_wanted:
            # A blocked signal is kept although it is ignored.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

    def was_sent(self) -> bool:
        """Tell whether one has been sent since the last call."""
        if not self._is_wanted:
            return False
        while info := signal.sigtimedwait([signal.SIGINT], 0):
            if info.si_code <= 0:
                return True
        return False


class SignalInbox:
    """Collect signals instead of being ended by them, and wait for the next.

    Handled signals are back at their default in every program started from here.
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
            # Handled, not ignored: what is ignored would stay so in Codex.
            signal.signal(number, lambda *_: None)
        # Unblocked last: what came before the handlers were set is heard now.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def wait(self, seconds: float, *others: int) -> list[int]:
        """Return what has arrived, at the latest after so many seconds.

        A child's end and data at one of the other descriptors end the wait too.
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


def which(program: str, search_path: str) -> str | None:
    """Find the file that a program's name stands for."""
    import shutil  # noqa: PLC0415 - 5 ms, not for the launch

    return shutil.which(program, path=search_path)


def capture(
    argv: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
    *,
    any_exit_code: bool = False,
) -> str | None:
    """Return what Codex says to a question, or None when it fails or takes too long."""
    program = which(argv[0], environment.get("PATH", os.defpath))
    if program is None:
        return None
    import subprocess  # noqa: PLC0415 - see start

    try:
        done = subprocess.run(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environment),
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # `codex login status` answers on standard error.
    said = done.stdout.strip() or done.stderr.strip()
    is_good = done.returncode == 0 or any_exit_code
    return said.decode(errors="replace") if said and is_good else None


def run_helper(
    argv: Sequence[str], environment: Mapping[str, str], timeout: float
) -> bool:
    """Run a helper program such as git; tell whether it did well in time."""
    from plumbum import local  # noqa: PLC0415 - 60 ms, for helper programs only
    from plumbum.commands.processes import (  # noqa: PLC0415
        CommandNotFound,
        ProcessTimedOut,
    )

    try:
        code, _, _ = local[argv[0]][argv[1:]].run(
            retcode=None, timeout=timeout, stdin=_DEVNULL, env=dict(environment)
        )
    except (OSError, CommandNotFound, ProcessTimedOut):
        return False
    return bool(code == 0)


def run_loud(
    argv: Sequence[str], environment: Mapping[str, str], told: Sequence[int] = ()
) -> bool:
    """Run a helper program whose words go to standard error; tell how it did.

    It does not outlive the call, nor does what it has started when it is ended early.

    Args:
        argv: its command line.
        environment: its environment.
        told: the signals that have come; it is ended as soon as there is one.

    Raises:
        RunnerFault: it is not there or cannot be run.
    """
    from plumbum import local  # noqa: PLC0415 - see run_helper
    from plumbum.commands.processes import CommandNotFound  # noqa: PLC0415

    try:
        child = local[argv[0]][argv[1:]].popen(
            stdin=_DEVNULL, stdout=2, stderr=2, env=dict(environment)
        )
    except (OSError, CommandNotFound) as error:
        message = f"{argv[0]} cannot be run: {error}"
        raise RunnerFault(message) from error
    try:
        # Not one long wait: a signal that comes just before it would go unheard.
        while not told and child.poll() is None:
            clock.sleep(_PACE_SECONDS)
    finally:
        if child.pid is not None and child.poll() is None:
            _end(child.pid, child.poll)
    return bool(child.poll() == 0)


def _end(pid: int, reap_it: Callable[[], object]) -> None:
    """End a child of ours that may refuse to, and all that is below it."""
    root, family = proctable.child(pid), proctable.Family(pid, remember=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = clock.monotonic() + _GRACE_SECONDS
        for each in (root, *family.members()):
            send(each, number)
        while clock.monotonic() < deadline:
            reap_it()
            if not any(map(proctable.is_alive, (root, *family.members()))):
                return
            clock.sleep(_PACE_SECONDS)


def _or_null(descriptor: int | None) -> int:
    return _DEVNULL if descriptor is None else descriptor
