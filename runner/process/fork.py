"""Detach a process: a copy of this one, in a session of its own.

The copy has loaded everything that this process has, so it works at once, and goes on
when the suite is replaced or removed on the disk.
"""

from __future__ import annotations

import os

from parsers.light import signal, suppress
from runner.process.signals import WAITED, blocked, forget_arrivals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

_STANDARD = (0, 1, 2)
_DESCRIPTORS = ("/proc/self/fd", "/dev/fd")
# Fields of /proc/self/stat after the name: where the arguments are in memory.
_ARGUMENTS_START, _ARGUMENTS_END = 45, 46


def detach(work: Callable[[int], object]) -> tuple[int, int]:
    """Start a copy of this process that does some work and exits.

    `work` gets the write end of a pipe. The copy has its own session, /dev/null as
    standard input and output, no other descriptor of this process, and the signals
    of `WAITED` blocked. No SQLite connection may be open: its locks are not inherited.

    Returns:
        The pid, which only a wait for children reports as ended, and the read end.

    Raises:
        OSError: the kernel cannot start it.
    """
    _fill_standard_streams()
    read, write = os.pipe()
    try:
        # Blocked before the fork: a signal to the copy stays pending until it waits.
        with blocked(WAITED):
            if (pid := os.fork()) == 0:
                _be_detached(work, write)
    except OSError:
        os.close(read)
        raise
    finally:
        os.close(write)
    return pid, read


def become(
    argv: list[str], environment: Mapping[str, str], kept: Sequence[int]
) -> NoReturn:
    """Go on as another program, which inherits these descriptors."""
    for descriptor in kept:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - the call has it so
    os.execve(argv[0], argv, environment)  # noqa: S606 - no shell is wanted


def show_as(change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the arguments of this process in process lists, as far as there is room.

    Linux reads them from the memory of the process. Elsewhere they stay as they are.
    """
    with suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - see launch
            fields = file.read().rpartition(b")")[2].split()
        start, end = (int(fields[at]) for at in (_ARGUMENTS_START, _ARGUMENTS_END))
        memory = os.open("/proc/self/mem", os.O_RDWR)
        try:
            words = os.pread(memory, end - start, start).rstrip(b"\0").split(b"\0")
            # The last byte must stay a NUL.
            shown = b"\0".join(change(words))[: end - start - 1]
            os.pwrite(memory, shown.ljust(end - start, b"\0"), start)
        finally:
            os.close(memory)


def _be_detached(work: Callable[[int], object], pipe: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in _STANDARD[:2]:
            os.dup2(null, number)
        _close_all_but(*_STANDARD, pipe)
        forget_arrivals()
        for number in WAITED:
            # If the end of a child were ignored, it would have no exit status.
            signal.signal(number, signal.SIG_DFL)
        work(pipe)
        # At an exit the kernel closes inotify first, which takes 15 ms: the caller need
        # not wait for that.
        with suppress(OSError):
            os.close(pipe)
        code = 0
    except BaseException:  # noqa: BLE001 - nothing of this copy may return to the caller
        import traceback  # noqa: PLC0415 - a bug

        traceback.print_exc()
    finally:
        # The interpreter's own shutdown takes 20 ms, and would flush the buffers of the
        # caller a second time.
        os._exit(code)


def _fill_standard_streams() -> None:
    """Open /dev/null where the caller has closed 0, 1 or 2.

    The next file to be opened would take the number. Reading 0 or writing 1 and 2 still
    fails.
    """
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number else os.O_WRONLY)


def _close_all_but(*kept: int) -> None:
    place = next(filter(os.path.isdir, _DESCRIPTORS))
    for number in map(int, os.listdir(place)):  # noqa: PTH208
        if number not in kept:
            with suppress(OSError):  # the listing's own is closed already
                os.close(number)


def use_streams(stdout: int, stderr: int) -> None:
    """Replace standard output and error of this process."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
